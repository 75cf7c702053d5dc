"""Resolves image, root device and zone of one generation at Create, and keeps them afterwards.

It owns the zone, so it also holds capacity there, for a new machine or a new type. Its function
serves ``Custom::CapacityRelease`` too, which ends that hold behind the instance.

The physical id holds the result and the settings that it was resolved for, so an Update needs no
other state: unchanged settings return the same result (also in a rollback), changed settings fail
the update before the machine is changed. A setting that is not given keeps the machine's value, so
that a new default in a later version does not change existing machines.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from gpustation.aws.calls import NOT_UNDERSTOOD, RETRIES, UnknownError, call_aws, error_code
from gpustation.aws.zones import zones_offering
from gpustation.catalog.capacity import SWITCHED_OFF
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.images import (
    CAPABILITIES_TAG,
    DATA_VOLUMES_TAG,
    DEFAULT_IMAGE,
    FRAMEWORK_TAG,
    bake_command,
    image_parameter,
    is_baked,
)
from gpustation.catalog.locked import LOCKED
from gpustation.catalog.spot import MARKET, ON_DEMAND, SPOT, SpotMode
from gpustation.handlers import capacity_hold, spot_choice, spot_request
from gpustation.handlers.capacity_hold import Clients, Found
from gpustation.handlers.moved_image import require_newest_copy
from gpustation.handlers.responder import Event, RefusedError, Response, respond

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef
    from mypy_boto3_ssm import SSMClient

DEFAULTS = {
    # property: value for a new machine if it is not given
    "Image": DEFAULT_IMAGE,
    "Framework": "mxnet",
    "DiskGib": "64",
    "AvailabilityZone": "auto",
    "ReadyTimeoutMinutes": "30",
    "Generation": "1",
}

_TYPE = "InstanceType"
"""Name in the physical id of a spot machine's type, which cannot change."""

_SHOWN = {**LOCKED, _TYPE: "instance_type"}

_FIRST_RELEASE = ("Image", "Framework", "DiskGib", "AvailabilityZone", "ReadyTimeoutMinutes")
"""Order of the values in physical ids of the first release, which have no names."""

_SEPARATOR = ";"

_HOLD = "Hold"
"""Name in the physical id of the reservation that held room at creation, for the deletion."""

_NO_HOLD = "none"

_TEMPLATES = {SPOT: "SpotTemplate", ON_DEMAND: "OnDemandTemplate"}
"""Property with the id of the launch template of each market."""

RELEASE = "Custom::CapacityRelease"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Image, root device and zone of one machine, constant for the life of the machine.

    Attributes:
        image_id: Id of the AMI.
        root_device_name: Name of its root device.
        availability_zone: Zone of the machine.
        locked: Values of the locked properties at creation, by name.
    """

    image_id: str
    root_device_name: str
    availability_zone: str
    locked: Mapping[str, str]

    @property
    def market(self) -> str:
        """``SPOT`` or ``ON_DEMAND``."""
        return self.locked.get(MARKET, ON_DEMAND)

    @property
    def physical_id(self) -> str:
        """All values in one line, readable in the console."""
        named = [f"{name}={value}" for name, value in self.locked.items()]
        return _SEPARATOR.join(
            (self.image_id, self.root_device_name, self.availability_zone, *named)
        )

    @classmethod
    def parse(cls, physical_id: str) -> Choice:
        """Parses a physical id; in those of the first release the values have no names."""
        image_id, device, zone, *parts = physical_id.split(_SEPARATOR)
        if any("=" in part for part in parts):
            locked = {name: value for name, _, value in (part.partition("=") for part in parts)}
        else:
            locked = dict(zip(_FIRST_RELEASE, parts, strict=False))
        return cls(image_id, device, zone, locked)

    def response(
        self, capacity: Found, properties: Mapping[str, Any], physical_id: str = ""
    ) -> Response:
        """The response to CloudFormation.

        Args:
            capacity: What was found about room for the machine.
            properties: The resource's properties; with ``spot=prefer`` they have the launch
                template of each market.
            physical_id: The existing id, which must not change. Default: for a new resource, the
                id of this choice.
        """
        data = {
            "ImageId": self.image_id,
            "RootDeviceName": self.root_device_name,
            "AvailabilityZone": self.availability_zone,
            "Capacity": capacity.text,
            "Hold": capacity.reservation or _NO_HOLD,
        }
        if template := properties.get(_TEMPLATES[self.market]):
            data["LaunchTemplate"] = template
        return Response(physical_id or self.physical_id, data)


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""

    def with_clients(request: Event) -> Response:
        if request.get("ResourceType") == RELEASE:
            return _release(request, boto3.client("ec2", config=RETRIES))
        clients = capacity_hold.make_clients()
        return decide(request, clients, boto3.client("ssm", config=RETRIES))

    respond(event, context, with_clients, on_delete=_on_delete)


def _on_delete(event: Event) -> None:
    """Ends a hold, e.g. in the rollback of a machine that could not be launched.

    A spot request too: one whose launch failed has no ``SpotRequest`` yet that would cancel it.
    """
    if "Spot" in event["ResourceProperties"]:
        spot_request.cancel(event, boto3.client("ec2", config=RETRIES))
    if capacity_hold.given(event["ResourceProperties"]):
        # "...-refused" if the creation failed; then the hold is found by its tags alone
        _, _, hold = event["PhysicalResourceId"].partition(f"{_SEPARATOR}{_HOLD}=")
        ec2 = boto3.client("ec2", config=RETRIES)
        capacity_hold.release(event, ec2, hold.partition(_SEPARATOR)[0])


def _release(event: Event, ec2: EC2Client) -> Response:
    """Ends the hold once the machine exists; on an error, it ends by itself."""
    properties = event["ResourceProperties"]
    reservation = str(properties.get("Hold", _NO_HOLD))
    try:
        if reservation == _NO_HOLD:
            capacity_hold.release(event, ec2)
        else:
            capacity_hold.await_exchange(ec2, properties["InstanceId"], reservation)
            capacity_hold.release(event, ec2, reservation)
    except (UnknownError, ClientError):
        log.exception("holds were not listed, they end by themselves")
    return Response(event.get("PhysicalResourceId") or f"{event['LogicalResourceId']}-released")


def decide(event: Event, clients: Clients, ssm: SSMClient) -> Response:
    """Resolves the choice at Create; returns it unchanged at Update, or refuses.

    Raises:
        RefusedError: The choice cannot be resolved, a changed setting needs a new machine, or EC2
            has no room for the machine.
    """
    given = event["ResourceProperties"]
    if event["RequestType"] == "Update":
        return _keep(event, clients)
    properties = DEFAULTS | given
    ec2 = clients.ec2
    try:
        image = _find_image(properties, ec2, ssm)
        device = _require_usable(image, properties)
        require_newest_copy(image, event["StackId"], ec2)
        zones, others = _zones(event, properties, ec2)
    except UnknownError as unknown:
        raise _cannot_choose(str(unknown)) from unknown
    except ClientError as error:
        raise _cannot_choose(f"{error.operation_name}: {error_code(error)}") from error
    except NOT_UNDERSTOOD as fault:
        log.exception("unexpected response of AWS")
        text = f"unexpected response of AWS ({type(fault).__name__}: {fault})"
        raise _cannot_choose(text) from fault
    locked = {name: properties[name] for name in LOCKED} | given.get("Others", {})
    platform = image.get("PlatformDetails", "")
    capacity, bought = _find_place(event, zones, others, platform, clients)
    locked |= bought
    if capacity.reservation:
        locked[_HOLD] = capacity.reservation
    return Choice(image["ImageId"], device, capacity.zone, locked).response(capacity, given)


def _find_place(
    event: Event, zones: list[str], others: list[str], platform: str, clients: Clients
) -> tuple[Found, dict[str, str]]:
    """The zone, and what must be remembered of how the machine is bought."""
    given = event["ResourceProperties"]
    instance_type = given["InstanceType"]
    spot, against = SpotMode(given.get("Spot", "false")), ""
    if spot is not SpotMode.FALSE:
        market = spot_choice.read_market(instance_type, zones, clients.ec2)
        if spot is SpotMode.PREFER:
            against = spot_choice.against_spot(event, market, clients)
        if not against:
            return Found(market.zones[0], str(market)), {MARKET: SPOT, _TYPE: instance_type}
    found = Found(zones[0], SWITCHED_OFF)
    if capacity_hold.given(given):
        found = capacity_hold.for_new_machine(event, zones, platform, clients, others=others)
    if spot is SpotMode.FALSE:
        return found, {}
    text = f"on-demand, because {against}; {found.text}"
    return Found(found.zone, text, found.reservation), {MARKET: ON_DEMAND}


def _keep(event: Event, clients: Clients) -> Response:
    """The existing choice, with room for another type held in its zone."""
    given, physical_id = event["ResourceProperties"], event["PhysicalResourceId"]
    choice = Choice.parse(physical_id)
    require_same_settings(choice, given)
    zone = choice.availability_zone
    if choice.market == SPOT:
        capacity = Found(zone, "spot: decided when the machine was created")
    elif not capacity_hold.given(given):
        capacity = Found(zone, SWITCHED_OFF)
    elif event.get("OldResourceProperties", {}).get("InstanceType") == given["InstanceType"]:
        capacity = Found(zone, capacity_hold.NOT_CHANGED)
    else:
        capacity = capacity_hold.for_new_type(event, zone, clients)
    return choice.response(capacity, given, physical_id)


def _cannot_choose(reason: str) -> RefusedError:
    return RefusedError(
        f"cannot choose image and zone: {reason}; deploy again, nothing was created"
    )


def require_same_settings(choice: Choice, properties: Mapping[str, Any]) -> None:
    """Refuses a change that needs a new machine; ``gpustation.plan`` calls this too.

    Properties that are not given, or that this version does not know, count as unchanged.

    Raises:
        RefusedError: A locked setting changed; the message says which.
    """
    current = {**properties.get("Before", {}), **choice.locked}
    wanted = {name: properties[name] for name in LOCKED if name in properties}
    if choice.market == SPOT and "InstanceType" in properties:
        # EC2 changes the type of no stopped spot machine
        wanted[_TYPE] = properties["InstanceType"]
    changed = [
        f"{_SHOWN.get(name, name)}={value} (the machine has {current[name]})"
        for name, value in (wanted | properties.get("Others", {})).items()
        if value != current.get(name, value)
    ]
    if not changed:
        return
    following = int(properties.get("Generation", DEFAULTS["Generation"])) % 255 + 1
    need = "needs" if len(changed) == 1 else "need"
    raise RefusedError(
        f'{" and ".join(changed)} {need} a new machine: set "generation": {following} in the '
        f"context of cdk.json (or -c generation={following}) to create one and then delete this "
        "one with its disk, or undo the change (a forgotten -c is one too)"
    )


def _find_image(properties: Mapping[str, str], ec2: EC2Client, ssm: SSMClient) -> ImageTypeDef:
    image = properties["Image"]
    parameter = image_parameter(image, properties["Framework"])
    image_id = image if parameter is None else _read_parameter(image, parameter, ec2, ssm)
    try:
        images = call_aws(f"image {image_id}", lambda: ec2.describe_images(ImageIds=[image_id]))[
            "Images"
        ]
    except ClientError as error:
        if not error_code(error).startswith("InvalidAMIID"):
            raise
        images = []
    if not images:
        raise RefusedError(
            f"image={image}: {image_id} does not exist in {_region(ec2)}, is not shared with this "
            "account, is disabled, or is not among the account's Allowed AMIs (EC2 settings); AMI "
            "ids differ between regions"
        )
    return images[0]


def _read_parameter(image: str, parameter: str, ec2: EC2Client, ssm: SSMClient) -> str:
    try:
        response = call_aws(f"parameter {parameter}", lambda: ssm.get_parameter(Name=parameter))
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
        remedy = (
            f"bake one with: {bake_command(image)}"
            if is_baked(image)
            else "put the id of an AMI into it"
        )
        raise RefusedError(
            f"image={image}: the SSM parameter {parameter} does not exist in {_region(ec2)}; "
            f"{remedy}, or use image={DEFAULT_IMAGE}"
        ) from error
    value = response.get("Parameter", {}).get("Value", "").strip()
    if not value.startswith("ami-"):
        raise RefusedError(
            f"image={image}: the SSM parameter {parameter} must hold an AMI id; put one into it"
        )
    return value


def _require_usable(image: ImageTypeDef, properties: Mapping[str, str]) -> str:
    """Returns the name of the image's root device.

    Raises:
        RefusedError: No machine can start from the image.
    """
    name = f"image={properties['Image']} ({image['ImageId']})"
    if image.get("State", "available") != "available":
        raise RefusedError(f"{name} is {image['State']}, not available; try again when it is")
    architecture = image.get("Architecture", "an unknown architecture")
    if architecture != "x86_64":
        raise RefusedError(f"{name} is built for {architecture}; use an image for x86_64")
    if image.get("Platform"):
        raise RefusedError(f"{name} is {image['Platform']}; use an Ubuntu image")
    device = image.get("RootDeviceName", "")
    volumes = [
        m["Ebs"]
        for m in image.get("BlockDeviceMappings", [])
        if m.get("DeviceName") == device and "Ebs" in m
    ]
    if not volumes:
        raise RefusedError(f"{name} has no EBS root volume; use an image that has one")
    size = volumes[0].get("VolumeSize", 0)
    if int(properties["DiskGib"]) < size:
        raise RefusedError(
            f"disk_gib={properties['DiskGib']}: {name} needs at least {size} GiB; "
            f"set disk_gib={size}"
        )
    _require_root_only(name, image)
    _require_fitting(name, image, properties)
    return device


def _require_root_only(name: str, image: ImageTypeDef) -> None:
    """Refuses unrequested data volumes in the image: each machine would get a billed copy."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    expected = {image.get("RootDeviceName"), *tags.get(DATA_VOLUMES_TAG, "").split()}
    others = [
        f"{mapping['Ebs'].get('VolumeSize', '?')} GiB at {mapping.get('DeviceName')}"
        for mapping in image.get("BlockDeviceMappings", [])
        if "Ebs" in mapping and mapping.get("DeviceName") not in expected
    ]
    if others:
        raise RefusedError(
            f"{name} has volumes beside its root disk, which are billed and may outlive the "
            f"machine: {', '.join(others)}; save it again with `gpustation image save`, which "
            "omits them, or use another image"
        )


def _require_fitting(name: str, image: ImageTypeDef, properties: Mapping[str, str]) -> None:
    """Refuses an image whose tags contradict framework or GPU; only our own images have them."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    framework, instance_type = properties["Framework"], properties["InstanceType"]
    installed = tags.get(FRAMEWORK_TAG, framework)
    if installed != framework:
        raise RefusedError(
            f"{name} contains framework={installed}, not {framework}; set framework={installed}, "
            f"or bake one for {framework} with: {bake_command(properties['Image'])}"
        )
    capability = gpu_types()[instance_type].compute_capability
    supported = tags.get(CAPABILITIES_TAG, capability).split()
    if capability not in supported:
        raise RefusedError(
            f"{name} supports GPUs of compute capability {', '.join(supported)}, and that of "
            f"instance_type={instance_type} has {capability}; use another type, or set "
            f"image_instance_type={instance_type} and bake one with: "
            f"{bake_command(properties['Image'])}"
        )


def _zones(
    event: Event, properties: Mapping[str, str], ec2: EC2Client
) -> tuple[list[str], list[str]]:
    """Zones in which the machine may be launched, in order, and those that a setting excludes."""
    wanted, instance_type = properties["AvailabilityZone"], properties["InstanceType"]
    zones = zones_offering(ec2, instance_type)
    if not zones:
        raise RefusedError(
            f"instance_type={instance_type}: no zone of {_region(ec2)} offers it; use another "
            "type or another region"
        )
    # The order differs per stack and per attempt, as one zone may have no capacity
    seed = f"{event['StackId']}/{event['RequestId']}"
    zones.sort(key=lambda zone: hashlib.sha256(f"{seed}/{zone}".encode()).digest())
    if wanted == "auto":
        return zones, []
    if wanted not in zones:
        raise RefusedError(
            f"availability_zone={wanted}: {instance_type} is offered in "
            f"{', '.join(sorted(zones))} only; use one of these, or auto"
        )
    return [wanted], [zone for zone in zones if zone != wanted]


def _region(client: EC2Client) -> str:
    return str(client.meta.region_name)
