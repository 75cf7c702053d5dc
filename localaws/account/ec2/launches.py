"""RunInstances, with a launch template and InstanceMarketOptions."""

from __future__ import annotations

from ministack.services import ec2

from localaws.account.ec2 import launch_templates, spot_options, wire
from localaws.account.ec2.instances import Instances, not_for_spot
from localaws.account.ec2.launch import Launch
from localaws.account.ec2.request import Parameters, disks, tags, value
from localaws.account.errors import ApiError

KIND = launch_templates.SPOT_KIND


def run(instances: Instances, request: Parameters) -> wire.Response:
    """RunInstances."""
    first = {name: value(request, f"NetworkInterface.1.{name}") for name in ("SubnetId", "Groups")}
    public = value(request, "NetworkInterface.1.AssociatePublicIpAddress")
    template = launch_templates.data(launch_templates.named(request))

    def either(name: str) -> str:
        return value(request, name) or str(template.get(name) or "")

    own = launch_templates.market_options(request)
    spot = spot_options.parse(
        own or template.get("InstanceMarketOptions") or {},
        (*tags(request, KIND), *launch_templates.tags(template, KIND)),
        instances.world.clock(),
        template=not own,
    )
    if spot is not None and value(request, "DisableApiTermination") == "true":
        raise not_for_spot("disableApiTermination")
    groups = ec2._parse_member_list(request, "SecurityGroupId")
    metadata = template.get("MetadataOptions") or {}
    wanted = Launch(
        image_id=either("ImageId"),
        instance_type=either("InstanceType"),
        subnet_id=value(request, "SubnetId") or first["SubnetId"] or ec2._DEFAULT_SUBNET_ID,
        user_data=either("UserData"),
        groups=tuple(groups or template.get("SecurityGroupIds") or ()),
        key_name=either("KeyName"),
        profile=value(request, "IamInstanceProfile.Arn")
        or value(request, "IamInstanceProfile.Name"),
        disks=tuple(disks(request) or template.get("BlockDeviceMappings") or ()),
        tags=tuple(tags(request, "instance")) or launch_templates.tags(template, "instance"),
        volume_tags=tuple(tags(request, "volume")) or launch_templates.tags(template, "volume"),
        public=public == "true" if public else None,
        tokens=value(request, "MetadataOptions.HttpTokens")
        or metadata.get("HttpTokens", "optional"),
        spot=spot,
        preference=_preference(request),
    )
    count = int(value(request, "MaxCount") or "1")
    records = [instances.launch(wanted) for _ in range(count)]
    items = "".join(ec2._instance_xml(record) for record in records)
    response: wire.Response = ec2._xml(
        200,
        "RunInstancesResponse",
        f"<reservationId>r-{records[0]['InstanceId'][2:]}</reservationId>"
        f"<instancesSet>{items}</instancesSet>",
    )
    return response


def _preference(request: Parameters) -> str:
    """Whether an instance may be in an open capacity reservation; one that it names is unknown."""
    names = "CapacityReservationSpecification."
    preference = value(request, f"{names}CapacityReservationPreference") or "open"
    if preference not in ("open", "none") or any(
        name.startswith(f"{names}CapacityReservationTarget") for name in request
    ):
        raise ApiError(
            "UnsupportedOperation",
            "CapacityReservationSpecification: the embedded AWS knows the preferences open and "
            "none; teach localaws/account/ec2/reservations.py",
        )
    return preference
