"""Chooses image, root device and zone of one generation, once, and never changes its mind.

The answer is the physical id, together with the settings that it was made for. So an Update can
be judged without a memory elsewhere: the same settings get the same answer (also in a rollback),
others are refused before anything of the machine is touched. A setting that is not given keeps
what the machine has, so another default in a later version changes no machine.
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
from gpustation.handlers.responder import Answer, Event, RefusedError, respond

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef
    from mypy_boto3_ssm import SSMClient

DEFAULTS = {
    # property: what a new machine gets where the setting is not given
    "Image": DEFAULT_IMAGE,
    "Framework": "mxnet",
    "DiskGib": "64",
    "AvailabilityZone": "auto",
    "ReadyTimeoutMinutes": "30",
    "Generation": "1",
}

_FIRST_RELEASE = ("Image", "Framework", "DiskGib", "AvailabilityZone", "ReadyTimeoutMinutes")
"""The order in which physical ids of the first release have the values, without names."""

_SEPARATOR = ";"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What one machine is made of, for as long as it lives.

    Attributes:
        image_id: Id of the AMI.
        root_device_name: Name of its root device.
        availability_zone: Zone of the machine.
        locked: Value of each property that it was made with.
    """

    image_id: str
    root_device_name: str
    availability_zone: str
    locked: Mapping[str, str]

    @property
    def physical_id(self) -> str:
        """All of it in one line, readable in the console."""
        named = [f"{name}={value}" for name, value in self.locked.items()]
        return _SEPARATOR.join(
            (self.image_id, self.root_device_name, self.availability_zone, *named)
        )

    @classmethod
    def parse(cls, physical_id: str) -> Choice:
        """Reads a physical id back, also one of the first release, whose values have no names."""
        image_id, device, zone, *parts = physical_id.split(_SEPARATOR)
        if any("=" in part for part in parts):
            locked = {name: value for name, _, value in (part.partition("=") for part in parts)}
        else:
            locked = dict(zip(_FIRST_RELEASE, parts, strict=False))
        return cls(image_id, device, zone, locked)

    def answer(self, physical_id: str = "") -> Answer:
        """The answer to CloudFormation; a machine keeps the id that it has, in whatever form."""
        data = {
            "ImageId": self.image_id,
            "RootDeviceName": self.root_device_name,
            "AvailabilityZone": self.availability_zone,
        }
        return Answer(physical_id or self.physical_id, data)


def on_event(event: dict[str, Any], context: object) -> None:
    """Entry point of the Lambda function."""

    def with_clients(request: Event) -> Answer:
        ec2 = boto3.client("ec2", config=RETRIES)
        return decide(request, ec2, boto3.client("ssm", config=RETRIES))

    respond(event, context, with_clients)


def decide(event: Event, ec2: EC2Client, ssm: SSMClient) -> Answer:
    """Chooses at Create; answers the same at Update, or refuses.

    Raises:
        RefusedError: No such machine can be made, or a setting changed that needs a new one.
    """
    given = event["ResourceProperties"]
    if event["RequestType"] == "Update":
        choice = Choice.parse(event["PhysicalResourceId"])
        require_same_settings(choice, given)
        return choice.answer(event["PhysicalResourceId"])
    properties = DEFAULTS | given
    try:
        image = _find_image(properties, ec2, ssm)
        device = _require_usable(image, properties)
        zone = _choose_zone(event, properties, ec2)
    except UnknownError as unknown:
        raise _cannot_choose(str(unknown)) from unknown
    except ClientError as error:
        raise _cannot_choose(f"{error.operation_name}: {error_code(error)}") from error
    except NOT_UNDERSTOOD as fault:
        log.exception("an answer that was not understood")
        text = f"an answer that was not understood ({type(fault).__name__}: {fault})"
        raise _cannot_choose(text) from fault
    locked = {name: properties[name] for name in LOCKED} | given.get("Others", {})
    return Choice(image["ImageId"], device, zone, locked).answer()


def _cannot_choose(why: str) -> RefusedError:
    return RefusedError(f"cannot choose image and zone: {why}; deploy again, nothing was created")


def require_same_settings(choice: Choice, properties: Mapping[str, Any]) -> None:
    """Refuses what would be another machine; ``gpustation.plan`` asks this beforehand.

    A property that is not given, and one of the machine's that nobody knows here, is no change.

    Raises:
        RefusedError: With what changed, and the line that builds a new machine.
    """
    had = {**properties.get("Before", {}), **choice.locked}
    wanted = {name: properties[name] for name in LOCKED if name in properties}
    changed = [
        f"{LOCKED.get(name, name)}={value} (the machine has {had[name]})"
        for name, value in (wanted | properties.get("Others", {})).items()
        if value != had.get(name, value)
    ]
    if not changed:
        return
    following = int(properties.get("Generation", DEFAULTS["Generation"])) % 255 + 1
    raise RefusedError(
        f"{' and '.join(changed)} would need a new machine, and none is replaced unasked: "
        f'add "generation": {following} to the context in cdk.json (or -c generation={following}) '
        "to build a new one; the old one and its disk go once the new one is ready. "
        "To keep this machine set back what changed (a forgotten -c counts as a change)"
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
            "account, is disabled, or is none of the account's Allowed AMIs (EC2 settings); AMI "
            "ids differ from region to region"
        )
    return images[0]


def _read_parameter(image: str, parameter: str, ec2: EC2Client, ssm: SSMClient) -> str:
    try:
        answer = call_aws(f"parameter {parameter}", lambda: ssm.get_parameter(Name=parameter))
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
            f"{remedy}, or take image={DEFAULT_IMAGE}"
        ) from error
    value = answer.get("Parameter", {}).get("Value", "").strip()
    if not value.startswith("ami-"):
        raise RefusedError(
            f"image={image}: the SSM parameter {parameter} must hold an AMI id; put one into it"
        )
    return value


def _require_usable(image: ImageTypeDef, properties: Mapping[str, str]) -> str:
    """The image's root device name, once it is sure that a machine can start from it."""
    name = f"image={properties['Image']} ({image['ImageId']})"
    if image.get("State", "available") != "available":
        raise RefusedError(f"{name} is {image['State']}, not available; try again when it is")
    architecture = image.get("Architecture", "an unknown architecture")
    if architecture != "x86_64":
        raise RefusedError(f"{name} is built for {architecture}; take an image for x86_64")
    if image.get("Platform"):
        raise RefusedError(f"{name} is {image['Platform']}; take an Ubuntu image")
    device = image.get("RootDeviceName", "")
    volumes = [
        m["Ebs"]
        for m in image.get("BlockDeviceMappings", [])
        if m.get("DeviceName") == device and "Ebs" in m
    ]
    if not volumes:
        raise RefusedError(f"{name} has no EBS root volume; take an image that has one")
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
    """Refuse volumes that nobody asked for: a machine gets them, and they may outlive it."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    expected = {image.get("RootDeviceName"), *tags.get(DATA_VOLUMES_TAG, "").split()}
    others = [
        f"{mapping['Ebs'].get('VolumeSize', '?')} GiB at {mapping.get('DeviceName')}"
        for mapping in image.get("BlockDeviceMappings", [])
        if "Ebs" in mapping and mapping.get("DeviceName") not in expected
    ]
    if others:
        raise RefusedError(
            f"{name} brings volumes beside its root disk, which cost and may outlive the machine: "
            f"{', '.join(others)}; save it again with `gpustation image save`, which "
            "leaves them out, or take another image"
        )


def _require_fitting(name: str, image: ImageTypeDef, properties: Mapping[str, str]) -> None:
    """An image that says what is in it must fit framework and GPU; most images say nothing."""
    tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
    framework, instance_type = properties["Framework"], properties["InstanceType"]
    holds = tags.get(FRAMEWORK_TAG, framework)
    if holds != framework:
        raise RefusedError(
            f"{name} holds framework={holds}, not {framework}; set framework={holds}, or bake one "
            f"for {framework} with: {bake_command(properties['Image'])}"
        )
    capability = gpu_types()[instance_type].compute_capability
    fitting = tags.get(CAPABILITIES_TAG, capability).split()
    if capability not in fitting:
        raise RefusedError(
            f"{name} drives GPUs of compute capability {', '.join(fitting)}, and that of "
            f"instance_type={instance_type} has {capability}; take another type, or set "
            f"image_instance_type={instance_type} and bake one with: "
            f"{bake_command(properties['Image'])}"
        )


def _choose_zone(event: Event, properties: Mapping[str, str], ec2: EC2Client) -> str:
    wanted, instance_type = properties["AvailabilityZone"], properties["InstanceType"]
    zones = zones_offering(ec2, instance_type)
    if not zones:
        raise RefusedError(
            f"instance_type={instance_type}: no zone of {_region(ec2)} offers it; take another "
            "type or another region"
        )
    if wanted == "auto":
        # Another stack, or another try, meets another zone first: one may be out of machines
        seed = f"{event['StackId']}/{event['RequestId']}"
        return min(zones, key=lambda zone: hashlib.sha256(f"{seed}/{zone}".encode()).digest())
    if wanted not in zones:
        raise RefusedError(
            f"availability_zone={wanted}: {instance_type} is offered in {', '.join(zones)} only; "
            "take one of these, or auto"
        )
    return str(wanted)


def _region(client: EC2Client) -> str:
    return str(client.meta.region_name)
