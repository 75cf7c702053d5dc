"""AWS::EC2::Instance, which ministack's CloudFormation lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ministack.services import ec2

from localaws.account.cloudformation import handler_errors
from localaws.account.ec2 import launch_templates, spot_options
from localaws.account.ec2.instance_record import Record
from localaws.account.ec2.instances import Instances, not_for_spot
from localaws.account.ec2.launch import Launch
from localaws.account.ec2.volumes import is_true
from localaws.account.errors import ApiError

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
T = TypeVar("T")

STOPPED_CHANGES = ("InstanceType", "UserData", "EbsOptimized")
"""Properties that EC2 changes only on a stopped instance: CloudFormation stops and starts it."""
PLACE_CHANGES = (
    "BlockDeviceMappings",
    "CreditSpecification",
    "DisableApiTermination",
    "IamInstanceProfile",
    "InstanceInitiatedShutdownBehavior",
    "MetadataOptions",
    "Monitoring",
    "PropagateTagsToVolumeOnCreation",
    "SecurityGroupIds",
    "SourceDestCheck",
    "Tags",
)
"""Properties that change in place; BlockDeviceMappings only in DeleteOnTermination."""


def handlers(instances: Instances) -> dict[str, Callable[..., Any]]:
    """The functions that ministack calls for a resource type."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        properties = call(lambda: _merged(properties))
        record = call(lambda: instances.launch(_launch(instances, properties)))
        _set_in_place(instances, record, {}, properties)
        return record["InstanceId"], _attributes(record)

    def update(instance_id: str, old: Properties, new: Properties, stack: str) -> Created:
        changed = {n for n in old.keys() | new.keys() if old.get(n) != new.get(n)}
        old, new = call(lambda: _merged(old)), call(lambda: _merged(new))
        unknown = changed - {*STOPPED_CHANGES, *PLACE_CHANGES}
        if unknown:
            raise ValueError(
                f"AWS::EC2::Instance {', '.join(sorted(unknown))}: the embedded AWS does not know "
                "how this changes; teach localaws/account/instance_resource.py"
            )
        record = call(lambda: _living(instances, instance_id))
        _set_in_place(instances, record, old, new)
        if changed & {*STOPPED_CHANGES}:
            call(lambda: _change_stopped(instances, record, new))
        return instance_id, _attributes(record)

    def delete(instance_id: str, properties: Properties) -> None:
        if instance_id in ec2._instances:
            call(lambda: instances.terminate(instances.get(instance_id)))

    return {"create": create, "update": update, "delete": delete}


def _living(instances: Instances, instance_id: str) -> Record:
    """The record of an instance that was not terminated by hand."""
    record = instances.get(instance_id)
    if record["State"]["Name"] == "terminated":
        raise ApiError(
            "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist"
        )
    return record


def _merged(properties: Properties) -> Properties:
    """The properties with what their launch template adds; their own win."""
    template = launch_templates.data(properties.get("LaunchTemplate") or {})
    if not template:
        return properties
    own = dict(properties)
    given = launch_templates.tags(template, "instance")
    keys = {tag["Key"] for tag in own.get("Tags") or []}
    own["Tags"] = [*own.get("Tags", []), *(tag for tag in given if tag["Key"] not in keys)]
    return {**template, **own}


def _launch(instances: Instances, properties: Properties) -> Launch:
    interfaces = properties.get("NetworkInterfaces") or [{}]
    interface = interfaces[0]
    public = interface.get("AssociatePublicIpAddress")
    own = [tag for tag in properties.get("Tags", []) if not tag["Key"].startswith("aws:")]
    spread = is_true(properties.get("PropagateTagsToVolumeOnCreation"))
    options = properties.get("MetadataOptions") or {}
    spot = spot_options.parse(
        properties.get("InstanceMarketOptions") or {},
        launch_templates.tags(properties, launch_templates.SPOT_KIND),
        instances.world.clock(),
        template=True,
    )
    if spot is not None and is_true(properties.get("DisableApiTermination")):
        raise not_for_spot("disableApiTermination")
    return Launch(
        image_id=properties.get("ImageId", ""),
        instance_type=properties.get("InstanceType", "m1.small"),
        subnet_id=properties.get("SubnetId") or interface.get("SubnetId") or ec2._DEFAULT_SUBNET_ID,
        user_data=properties.get("UserData", ""),
        groups=tuple(properties.get("SecurityGroupIds") or interface.get("GroupSet") or ()),
        key_name=properties.get("KeyName", ""),
        profile=properties.get("IamInstanceProfile", ""),
        disks=tuple(properties.get("BlockDeviceMappings") or ()),
        tags=tuple(properties.get("Tags", [])),
        volume_tags=tuple(own) if spread else (),
        public=None if public is None else is_true(public),
        tokens=options.get("HttpTokens", "optional"),
        spot=spot,
    )


def _set_in_place(instances: Instances, record: Record, old: Properties, new: Properties) -> None:
    """Apply the properties that a running instance accepts."""
    record["_protected"] = is_true(new.get("DisableApiTermination"))
    record["_at_shutdown"] = new.get("InstanceInitiatedShutdownBehavior", "stop")
    instances.set_tokens(record, (new.get("MetadataOptions") or {}).get("HttpTokens", "optional"))
    record["Monitoring"] = {"State": "enabled" if is_true(new.get("Monitoring")) else "disabled"}
    record["SourceDestCheck"] = is_true(new.get("SourceDestCheck", True))
    if not old:
        return
    kept = [tag for tag in ec2._tags.get(record["InstanceId"], []) if tag not in old["Tags"]]
    ec2._tags[record["InstanceId"]] = kept + [dict(tag) for tag in new["Tags"]]
    if old.get("SecurityGroupIds") != new.get("SecurityGroupIds"):
        groups = new.get("SecurityGroupIds") or [ec2._DEFAULT_SG_ID]
        record["SecurityGroups"] = [
            {"GroupId": g, "GroupName": ec2._security_groups[g]["GroupName"]} for g in groups
        ]
    if old.get("IamInstanceProfile") != new.get("IamInstanceProfile"):
        call(lambda: instances.set_profile(record, new.get("IamInstanceProfile", "")))
    _keep_disks(record, new)


def _keep_disks(record: Record, new: Properties) -> None:
    """Apply DeleteOnTermination, the only property of disks that changes in place."""
    wanted = {d["DeviceName"]: d.get("Ebs") or {} for d in new.get("BlockDeviceMappings") or []}
    for device in record["BlockDeviceMappings"]:
        ebs = wanted.get(device["DeviceName"], {})
        keep = is_true(ebs.get("DeleteOnTermination", True))
        device["Ebs"]["DeleteOnTermination"] = keep
        for attachment in ec2._volumes[device["Ebs"]["VolumeId"]]["Attachments"]:
            attachment["DeleteOnTermination"] = keep


def _change_stopped(instances: Instances, record: Record, new: Properties) -> None:
    """Stop, change and start an instance; an instance that was stopped remains stopped.

    A start that fails is remembered: the rollback, which is another update, starts it again.
    """
    ran = record["State"]["Name"] == "running" or record.get("_start_failed", False)
    kind = new.get("InstanceType", "m1.small")
    instances.stop(record)
    if record["_lifecycle"] and kind != record["InstanceType"]:
        record["_start_failed"] = ran
        raise not_for_spot("instanceType")
    record["InstanceType"] = kind
    record["UserData"] = new.get("UserData", "")
    if ran:
        record["_start_failed"] = True
        instances.start(record)
        record["_start_failed"] = False


def call(function: Callable[[], T]) -> T:
    """Call EC2 on behalf of a resource.

    Raises:
        RuntimeError: EC2 refused the call.
    """
    return handler_errors.call("Ec2", _HANDLER_CODES, "GeneralServiceException", function)


def _attributes(record: Record) -> dict[str, str]:
    """What Fn::GetAtt knows."""
    return {
        "InstanceId": record["InstanceId"],
        "AvailabilityZone": record["Placement"]["AvailabilityZone"],
        "PrivateDnsName": record["PrivateDnsName"],
        "PrivateIp": record["PrivateIpAddress"],
        "PublicDnsName": record["PublicDnsName"],
        "PublicIp": record["PublicIpAddress"],
        "VpcId": record["VpcId"],
    }


_HANDLER_CODES = {
    "VcpuLimitExceeded": "ServiceLimitExceeded",
    "InvalidAMIID.NotFound": "InvalidRequest",
    "InvalidInstanceID.NotFound": "NotFound",
    "DependencyViolation": "InvalidRequest",
    "InvalidSubnetID.NotFound": "NotFound",
}
