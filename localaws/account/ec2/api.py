"""EC2's calls that ministack lacks, answers with made-up numbers or treats unlike EC2."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from ministack.services import ec2

from localaws.account.ec2 import (
    gateways,
    image_calls,
    launch_templates,
    launches,
    offerings,
    regions,
    reservation_calls,
    security_groups,
    spot_calls,
    subnets,
    tagged,
    volumes,
    wire,
)
from localaws.account.ec2.instances import Instances, not_for_spot
from localaws.account.ec2.request import Parameters, deep, passes, value
from localaws.account.ec2.reservation import LINUX
from localaws.account.errors import ApiError

Action = Callable[[Instances, Parameters], wire.Response]
INSTANCE_FILTERS = {
    "availability-zone": "Placement.AvailabilityZone",
    "capacity-reservation-id": "_reservation",
    "image-id": "ImageId",
    "instance-id": "InstanceId",
    "instance-lifecycle": "_lifecycle",
    "instance-state-name": "State.Name",
    "instance-type": "InstanceType",
    "spot-instance-request-id": "_spot_request",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
}
"""Path in an instance's record of the value that a filter compares; ministack filters tags."""
_IP = re.compile(r"<(ipAddress|keyName)></\1>")


def install(instances: Instances) -> None:
    """Replace ministack's actions and its description of an instance.

    Upstream an instance has no lifecycle, no metadata options and no reason of its state, but an
    empty element for an address or key that it lacks; filters have no wildcards, most are ignored,
    and a parameter with an empty value (NoDevice) is lost.
    """
    for name, action in ACTIONS.items():
        ec2._ACTION_MAP[name] = _bound(action, instances)
    plain_xml, plain_match = ec2._instance_xml, ec2._matches_filters

    def instance_xml(record: dict[str, Any]) -> str:
        kind = record["_lifecycle"]
        request = record.get("_spot_request", "")
        spot = f"<instanceLifecycle>{kind}</instanceLifecycle>" if kind else ""
        spot += f"<spotInstanceRequestId>{request}</spotInstanceRequestId>" if request else ""
        tokens = f"<httpTokens>{record['_tokens']}</httpTokens>"
        options = f"<metadataOptions><state>applied</state>{tokens}</metadataOptions>"
        text = _IP.sub("", plain_xml(record)).rpartition("</item>")[0]
        more = f"{options}{_reservation(record)}{_state_reason(record)}"
        return f"{text}{spot}{more}</item>"

    def matches_filters(record: dict[str, Any], filters: dict[str, list[str]]) -> bool:
        known = {name: filters[name] for name in filters if name in INSTANCE_FILTERS}
        others = {name: filters[name] for name in filters if name not in known}
        return bool(plain_match(record, others)) and all(
            passes(deep(record, INSTANCE_FILTERS[name]), values) for name, values in known.items()
        )

    launch_templates.install()
    ec2.parse_qs = partial(parse_qs, keep_blank_values=True)
    ec2._snapshot_matches_filters = image_calls.snapshot_matches
    ec2._instance_xml = instance_xml
    ec2._matches_filters = matches_filters


def _reservation(record: dict[str, Any]) -> str:
    """Platform, and the capacity reservation that an instance is in; upstream there is neither."""
    name = record.get("_reservation")
    within = f"<capacityReservationId>{name}</capacityReservationId>" if name else ""
    preference = record.get("_preference", "open")
    return (
        f"<platformDetails>{record.get('_platform', LINUX)}</platformDetails>{within}"
        "<capacityReservationSpecification><capacityReservationPreference>"
        f"{preference}</capacityReservationPreference></capacityReservationSpecification>"
    )


def _state_reason(record: dict[str, Any]) -> str:
    """Why an instance has its state; upstream nothing says so."""
    transition = f"<reason>{record.get('_transition', '')}</reason>"
    if not record.get("_reason"):
        return transition
    code, text = record["_reason"]
    state = f"<code>{code}</code><message>{code}: {text}</message>"
    return f"{transition}<stateReason>{state}</stateReason>"


def describe(instances: Instances, request: Parameters) -> wire.Response:
    """DescribeInstances; upstream unknown filters are ignored, EC2 refuses them, and all come.

    In pages if there are more than a page's.
    """
    filters = ec2._parse_filters(request)
    for name in filters:
        if name not in INSTANCE_FILTERS and not name.startswith("tag"):
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
    size = int(value(request, "MaxResults") or instances.world.instances_per_page)
    if ec2._parse_member_list(request, "InstanceId") or len(ec2._instances) <= size:
        response: wire.Response = ec2._describe_instances(request)
        return response
    start = int(value(request, "NextToken") or "0")
    matching = [
        name for name, record in ec2._instances.items() if ec2._matches_filters(record, filters)
    ]
    these = matching[start : start + size]
    if not these:
        return wire.response("DescribeInstances", {"Reservations": []})
    named = {f"InstanceId.{number}": [name] for number, name in enumerate(these, 1)}
    status, headers, body = ec2._describe_instances(named)
    if start + size < len(matching):
        end = b"</DescribeInstancesResponse>"
        body = body.replace(end, f"<nextToken>{start + size}</nextToken>".encode() + end)
    return status, headers, body


def change_state(operation: str) -> Action:
    """Stop, start and terminate, which differ in one method and one name."""

    def action(instances: Instances, request: Parameters) -> wire.Response:
        method = getattr(instances, operation.removesuffix("Instances").lower())
        member = operation.replace("Instances", "ingInstances").replace("eing", "ing")
        member = member.replace("Stoping", "Stopping")
        rows = []
        for record in [
            instances.get(name) for name in ec2._parse_member_list(request, "InstanceId")
        ]:
            before = dict(record["State"])
            method(record)
            row = {"InstanceId": record["InstanceId"], "PreviousState": before}
            rows.append({**row, "CurrentState": dict(record["State"])})
        return wire.response(operation, {member: rows})

    return action


def reboot(instances: Instances, request: Parameters) -> wire.Response:
    """RebootInstances; the response comes before the reboot."""
    for record in [instances.get(name) for name in ec2._parse_member_list(request, "InstanceId")]:
        instances.reboot(record)
    response: wire.Response = ec2._xml(200, "RebootInstancesResponse", "<return>true</return>")
    return response


def modify(instances: Instances, request: Parameters) -> wire.Response:
    """ModifyInstanceAttribute, for the three attributes that people change by hand."""
    record = instances.get(value(request, "InstanceId"))
    protect = value(request, "DisableApiTermination.Value")
    kind, script = value(request, "InstanceType.Value"), value(request, "UserData.Value")
    if not (protect or kind or script):
        raise ApiError("InvalidParameterCombination", "No attributes specified.")
    if (kind or script) and record["State"]["Name"] != "stopped":
        raise ApiError(
            "IncorrectInstanceState",
            f"The instance '{record['InstanceId']}' is not in the 'stopped' state.",
        )
    if record["_lifecycle"] and (kind or protect):
        raise not_for_spot("instanceType" if kind else "disableApiTermination")
    if protect:
        record["_protected"] = protect == "true"
    record["InstanceType"] = kind or record["InstanceType"]
    record["UserData"] = script or record["UserData"]
    response: wire.Response = ec2._xml(
        200, "ModifyInstanceAttributeResponse", "<return>true</return>"
    )
    return response


def console_output(instances: Instances, request: Parameters) -> wire.Response:
    """GetConsoleOutput; upstream it does not exist."""
    record = instances.get(value(request, "InstanceId"))
    output = base64.b64encode(instances.console_output(record).encode()).decode()
    return wire.response("GetConsoleOutput", {"InstanceId": record["InstanceId"], "Output": output})


ACTIONS: dict[str, Action] = {
    "GetConsoleOutput": console_output,
    "AuthorizeSecurityGroupIngress": security_groups.authorize,
    "RunInstances": launches.run,
    "DescribeInstances": describe,
    "DescribeKeyPairs": tagged.key_pairs,
    "DeleteKeyPair": tagged.delete_key_pair,
    "CreateNetworkInterface": tagged.create_interface,
    "DescribeNetworkInterfaces": tagged.interfaces,
    "StopInstances": change_state("StopInstances"),
    "StartInstances": change_state("StartInstances"),
    "RebootInstances": reboot,
    "TerminateInstances": change_state("TerminateInstances"),
    "ModifyInstanceAttribute": modify,
    "DeleteSecurityGroup": security_groups.delete,
    "DescribeInstanceTypes": offerings.instance_types,
    "DescribeInstanceTypeOfferings": offerings.instance_type_offerings,
    "DescribeAvailabilityZones": offerings.zones,
    "DescribeRegions": regions.describe,
    "CreateCapacityReservation": reservation_calls.create,
    "CancelCapacityReservation": reservation_calls.cancel,
    "DescribeCapacityReservations": reservation_calls.describe,
    "DescribeSpotPriceHistory": spot_calls.price_history,
    "DescribeSpotInstanceRequests": spot_calls.requests,
    "CancelSpotInstanceRequests": spot_calls.cancel,
    "GetSpotPlacementScores": spot_calls.placement_scores,
    "DeleteSubnet": subnets.delete,
    "DetachInternetGateway": gateways.detach,
    "AttachVolume": volumes.attach_later,
    "CreateImage": image_calls.create,
    "DeregisterImage": image_calls.deregister,
    "DescribeImages": image_calls.describe,
    "DescribeSnapshots": image_calls.snapshots,
    "DeleteSnapshot": image_calls.delete_snapshot,
    "CreateTags": image_calls.create_tags,
}


def _bound(action: Action, instances: Instances) -> Callable[[Parameters], wire.Response]:
    return _guarded(lambda request: action(instances, request))


def _guarded(action: Callable[[Any], Any]) -> Callable[[Any], wire.Response]:
    def guarded(request: Any) -> wire.Response:
        try:
            response: wire.Response = action(request)
        except ApiError as error:
            return wire.refusal(error)
        return response

    return guarded
