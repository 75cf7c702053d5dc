"""EC2's API where ministack has none, invents numbers, or does not do what EC2 does."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from ministack.services import ec2

from localaws.account.ec2 import image_calls as ec2_images
from localaws.account.ec2 import offerings as ec2_catalog
from localaws.account.ec2 import security_groups, volumes, wire
from localaws.account.ec2 import tagged as ec2_tagged
from localaws.account.ec2.instance_record import Launch
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, deep, disks, one, passes, tags
from localaws.account.errors import ApiError

Action = Callable[[Instances, Parameters], wire.Answer]
INSTANCE_FILTERS = {
    "availability-zone": "Placement.AvailabilityZone",
    "image-id": "ImageId",
    "instance-id": "InstanceId",
    "instance-lifecycle": "_lifecycle",
    "instance-state-name": "State.Name",
    "instance-type": "InstanceType",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}
"""Where an instance's record keeps what a filter compares; tags are filtered by ministack."""
_IP = re.compile(r"<(ipAddress|keyName)></\1>")


def install(instances: Instances) -> None:
    """Replace ministack's actions, and what it says of an instance."""
    for name, action in ACTIONS.items():
        ec2._ACTION_MAP[name] = _bound(action, instances)
    plain_xml, plain_match = ec2._instance_xml, ec2._matches_filters

    def instance_xml(record: dict[str, Any]) -> str:
        kind = record["_lifecycle"]
        spot = f"<instanceLifecycle>{kind}</instanceLifecycle>" if kind else ""
        tokens = f"<httpTokens>{record['_tokens']}</httpTokens>"
        options = f"<metadataOptions><state>applied</state>{tokens}</metadataOptions>"
        text = _IP.sub("", plain_xml(record)).rpartition("</item>")[0]
        return f"{text}{spot}{options}</item>"

    def matches_filters(record: dict[str, Any], filters: dict[str, list[str]]) -> bool:
        ours = {name: filters[name] for name in filters if name in INSTANCE_FILTERS}
        others = {name: filters[name] for name in filters if name not in ours}
        return bool(plain_match(record, others)) and all(
            passes(deep(record, INSTANCE_FILTERS[name]), values) for name, values in ours.items()
        )

    # NoDevice counts by being there, with an empty value
    ec2.parse_qs = partial(parse_qs, keep_blank_values=True)
    ec2._snapshot_matches_filters = ec2_images.snapshot_matches
    ec2._instance_xml = instance_xml
    ec2._matches_filters = matches_filters


def run(instances: Instances, asked: Parameters) -> wire.Answer:
    """RunInstances."""
    first = {name: one(asked, f"NetworkInterface.1.{name}") for name in ("SubnetId", "Groups")}
    public = one(asked, "NetworkInterface.1.AssociatePublicIpAddress")
    wanted = Launch(
        image_id=one(asked, "ImageId"),
        instance_type=one(asked, "InstanceType"),
        subnet_id=one(asked, "SubnetId") or first["SubnetId"] or ec2._DEFAULT_SUBNET_ID,
        user_data=one(asked, "UserData"),
        groups=tuple(ec2._parse_member_list(asked, "SecurityGroupId")),
        key_name=one(asked, "KeyName"),
        profile=one(asked, "IamInstanceProfile.Arn") or one(asked, "IamInstanceProfile.Name"),
        disks=tuple(disks(asked)),
        tags=tuple(tags(asked, "instance")),
        volume_tags=tuple(tags(asked, "volume")),
        public=public == "true" if public else None,
        tokens=one(asked, "MetadataOptions.HttpTokens") or "optional",
        spot=one(asked, "InstanceMarketOptions.MarketType") == "spot",
    )
    count = int(one(asked, "MaxCount") or "1")
    records = [instances.launch(wanted) for _ in range(count)]
    items = "".join(ec2._instance_xml(record) for record in records)
    found: wire.Answer = ec2._xml(
        200,
        "RunInstancesResponse",
        f"<reservationId>r-{records[0]['InstanceId'][2:]}</reservationId>"
        f"<instancesSet>{items}</instancesSet>",
    )
    return found


def describe(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DescribeInstances; ministack ignores filters that it does not know."""
    for name in ec2._parse_filters(asked):
        if name not in INSTANCE_FILTERS and not name.startswith("tag"):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    found: wire.Answer = ec2._describe_instances(asked)
    return found


def change_state(operation: str) -> Action:
    """Stop, start and terminate, which differ in one method and one name."""

    def action(instances: Instances, asked: Parameters) -> wire.Answer:
        method = getattr(instances, operation.removesuffix("Instances").lower())
        member = operation.replace("Instances", "ingInstances").replace("eing", "ing")
        member = member.replace("Stoping", "Stopping")
        rows = []
        for record in [instances.get(name) for name in ec2._parse_member_list(asked, "InstanceId")]:
            before = dict(record["State"])
            method(record)
            row = {"InstanceId": record["InstanceId"], "PreviousState": before}
            rows.append({**row, "CurrentState": dict(record["State"])})
        return wire.answer(operation, {member: rows})

    return action


def reboot(instances: Instances, asked: Parameters) -> wire.Answer:
    """RebootInstances, which answers nothing but that it was asked."""
    for record in [instances.get(name) for name in ec2._parse_member_list(asked, "InstanceId")]:
        instances.reboot(record)
    found: wire.Answer = ec2._xml(200, "RebootInstancesResponse", "<return>true</return>")
    return found


def modify(instances: Instances, asked: Parameters) -> wire.Answer:
    """ModifyInstanceAttribute, for the three attributes that people change by hand."""
    record = instances.get(one(asked, "InstanceId"))
    protect = one(asked, "DisableApiTermination.Value")
    kind, script = one(asked, "InstanceType.Value"), one(asked, "UserData.Value")
    if not (protect or kind or script):
        raise ApiError("InvalidParameterCombination", "No attributes specified.")
    if (kind or script) and record["State"]["Name"] != "stopped":
        raise ApiError(
            "IncorrectInstanceState",
            f"The instance '{record['InstanceId']}' is not in the 'stopped' state.",
        )
    if protect:
        record["_protected"] = protect == "true"
    record["InstanceType"] = kind or record["InstanceType"]
    record["UserData"] = script or record["UserData"]
    found: wire.Answer = ec2._xml(200, "ModifyInstanceAttributeResponse", "<return>true</return>")
    return found


ACTIONS: dict[str, Action] = {
    "RunInstances": run,
    "DescribeInstances": describe,
    "DescribeKeyPairs": ec2_tagged.key_pairs,
    "DeleteKeyPair": ec2_tagged.delete_key_pair,
    "CreateNetworkInterface": ec2_tagged.create_interface,
    "DescribeNetworkInterfaces": ec2_tagged.interfaces,
    "StopInstances": change_state("StopInstances"),
    "StartInstances": change_state("StartInstances"),
    "RebootInstances": reboot,
    "TerminateInstances": change_state("TerminateInstances"),
    "ModifyInstanceAttribute": modify,
    "DeleteSecurityGroup": security_groups.delete,
    "DescribeInstanceTypes": ec2_catalog.instance_types,
    "DescribeInstanceTypeOfferings": ec2_catalog.instance_type_offerings,
    "DescribeAvailabilityZones": ec2_catalog.zones,
    "AttachVolume": volumes.attach_later,
    "CreateImage": ec2_images.create,
    "DeregisterImage": ec2_images.deregister,
    "DescribeImages": ec2_images.describe,
    "DescribeSnapshots": ec2_images.snapshots,
    "DeleteSnapshot": ec2_images.delete_snapshot,
    "CreateTags": ec2_images.create_tags,
}


def _bound(action: Action, instances: Instances) -> Callable[[Parameters], wire.Answer]:
    return _guarded(lambda asked: action(instances, asked))


def _guarded(action: Callable[[Any], Any]) -> Callable[[Any], wire.Answer]:
    def guarded(asked: Any) -> wire.Answer:
        try:
            found: wire.Answer = action(asked)
        except ApiError as error:
            return wire.refusal(error)
        return found

    return guarded
