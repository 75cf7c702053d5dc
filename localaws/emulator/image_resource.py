"""AWS::ImageBuilder::Image: a build within the stack's operation, and what becomes of its image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from ministack.services import cloudformation, iam
from ministack.services.cloudformation import provisioners, stacks

from localaws.emulator import image_authorization, image_builder_api, image_builder_resources
from localaws.emulator.image_build import Build, BuildError
from localaws.emulator.image_builder import (
    DISTRIBUTION,
    IMAGE,
    INFRASTRUCTURE,
    RECIPE,
    Entry,
    ImageBuilder,
    arn_of,
)
from localaws.emulator.image_builder_resources import KINDS, failure, said, versions
from localaws.emulator.instance_record import new_session
from localaws.emulator.instances import Instances
from localaws.emulator.role_access import clients, remove_image
from localaws.errors import ApiError

TYPE = "AWS::ImageBuilder::Image"
SERVICE = "imagebuilder.amazonaws.com"
Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
KNOWN = {
    *("ImageRecipeArn", "InfrastructureConfigurationArn", "DistributionConfigurationArn"),
    *("ImageTestsConfiguration", "EnhancedImageMetadataEnabled", "DeletionSettings"),
    *("LoggingConfiguration", "Tags"),
}


def install(fleet: Instances) -> None:
    """Add Image Builder: its types, its API, and a worker thread for what takes a build."""
    builder = ImageBuilder()
    for name, kind in KINDS.items():
        provisioners._RESOURCE_HANDLERS[name] = image_builder_resources.handlers(builder, kind)
    provisioners._RESOURCE_HANDLERS[TYPE] = handlers(builder, fleet)
    for name in (*KINDS, TYPE):
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "map")
    plain = stacks._runs_on_worker_thread

    def runs_on_worker_thread(resource_type: str) -> bool:
        return resource_type == TYPE or bool(plain(resource_type))

    stacks._runs_on_worker_thread = runs_on_worker_thread
    image_builder_api.install(builder)
    image_authorization.install()


def handlers(builder: ImageBuilder, fleet: Instances) -> dict[str, Callable[..., Any]]:
    """The functions that ministack calls for the type."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        unknown = sorted(properties.keys() - KNOWN)
        if unknown:
            raise failure(f"{TYPE}: the embedded AWS does not know {unknown}", "InvalidRequest")
        entry = said(lambda: _built(builder, fleet, properties, stack))
        builder.keep(entry)
        return entry.arn, _attributes(entry)

    def update(arn: str, old: Properties, new: Properties, stack: str) -> Created:
        entry = builder.get(arn, IMAGE)
        entry.properties = {**new, "Name": entry.name, "Version": entry.version}
        return arn, _attributes(entry)

    def delete(arn: str, properties: Properties) -> None:
        entry = builder.find(arn)
        if entry is not None:
            said(lambda: _delete(entry, properties.get("DeletionSettings") or {}))
            builder.remove(arn)

    return {"create": create, "update": update, "delete": delete}


def _built(builder: ImageBuilder, fleet: Instances, properties: Properties, stack: str) -> Entry:
    recipe = builder.get(properties["ImageRecipeArn"], RECIPE)
    distribution = properties.get("DistributionConfigurationArn")
    start = f"{arn_of(IMAGE, recipe.name)}/{recipe.version}/"
    number = 1 + sum(one.arn.startswith(start) for one in builder.all(IMAGE))
    tests = (properties.get("ImageTestsConfiguration") or {}).get("ImageTestsEnabled", True)
    logging = properties.get("LoggingConfiguration") or {}
    build = Build(
        fleet,
        f"{start}{number}",
        recipe=recipe,
        components=builder.components(recipe),
        infrastructure=builder.get(properties["InfrastructureConfigurationArn"], INFRASTRUCTURE),
        distribution=builder.get(distribution, DISTRIBUTION) if distribution else None,
        log_group=logging.get("LogGroupName") or f"/aws/imagebuilder/{recipe.name}",
        tests=str(tests).lower() != "false",
        goes_on=lambda: not cloudformation._stacks[stack]["StackStatus"].startswith("DELETE"),
    )
    try:
        image_id = build.run()
    except BuildError as error:
        raise failure(f"Image '{start}{number}' failed: {error}", "NotStabilized") from error
    named = {"Name": recipe.name, "Version": recipe.version}
    entry = Entry(f"{start}{number}", IMAGE, {**properties, **named}, image_id=image_id)
    made = fleet.own.find(image_id)
    entry.snapshots = tuple(made.snapshots()) if made else ()
    return entry


def _delete(entry: Entry, settings: Properties) -> None:
    """With a role the image and its snapshots go; without one they stay, as on AWS."""
    given = settings.get("ExecutionRole")
    if given is None:
        return
    name = given.rpartition("/")[2]
    role = iam._roles.get(name)
    if role is None or SERVICE not in str(role["AssumeRolePolicyDocument"]):
        raise ApiError(
            "InvalidParameterValueException",
            f"The role '{given}' does not exist or cannot be assumed by {SERVICE}.",
        )
    access = clients(new_session(name, "ImageBuilder"))
    try:
        remove_image(access, entry.image_id, list(entry.snapshots))
    except ClientError as error:
        raise ApiError("ServiceException", str(error)) from error


def _attributes(entry: Entry) -> dict[str, str]:
    """What Fn::GetAtt knows."""
    known = {"Arn": entry.arn, "ImageId": entry.image_id, "Name": entry.name}
    return {**known, **versions(entry.arn, entry.version)}
