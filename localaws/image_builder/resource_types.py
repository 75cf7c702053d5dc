"""The types AWS::ImageBuilder::* that the construct GpuImage uses. Creating an Image builds it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from ministack.services import cloudformation, iam
from ministack.services.cloudformation import provisioners, stacks

from localaws.account.cloudformation import handler_errors
from localaws.account.ec2.instance_record import new_session
from localaws.account.ec2.instances import Instances
from localaws.account.errors import ApiError
from localaws.account.iam import image_authorization
from localaws.image_builder import api as image_builder_api
from localaws.image_builder.build import Build, BuildError
from localaws.image_builder.role_access import clients, remove_image
from localaws.image_builder.service import (
    COMPONENT,
    IMAGE,
    INFRASTRUCTURE,
    RECIPE,
    Entry,
    ImageBuilder,
    arn_of,
)

IMAGE_TYPE = "AWS::ImageBuilder::Image"
KINDS = {
    "AWS::ImageBuilder::Component": COMPONENT,
    "AWS::ImageBuilder::ImageRecipe": RECIPE,
    "AWS::ImageBuilder::InfrastructureConfiguration": INFRASTRUCTURE,
}
SERVICE = "imagebuilder.amazonaws.com"
Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
Handlers = dict[str, Callable[..., Any]]
"""`create`, `update` and `delete` of a resource type, as ministack calls them."""
T = TypeVar("T")
_CODES = {
    "ResourceAlreadyExistsException": "AlreadyExists",
    "ResourceDependencyException": "ResourceConflict",
    "ResourceNotFoundException": "NotFound",
}


def install(instances: Instances) -> None:
    """Add Image Builder: its types, its API, and a worker thread for builds."""
    builder = ImageBuilder()
    for name, kind in KINDS.items():
        provisioners._RESOURCE_HANDLERS[name] = _handlers(builder, kind)
    provisioners._RESOURCE_HANDLERS[IMAGE_TYPE] = _image_handlers(builder, instances)
    for name in (*KINDS, IMAGE_TYPE):
        provisioners._STACK_TAG_PROPERTY[name] = ("Tags", "map")
    plain = stacks._runs_on_worker_thread

    def runs_on_worker_thread(resource_type: str) -> bool:
        return resource_type == IMAGE_TYPE or bool(plain(resource_type))

    stacks._runs_on_worker_thread = runs_on_worker_thread
    image_builder_api.install(builder)
    image_authorization.install()


def _handlers(builder: ImageBuilder, kind: str) -> Handlers:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        entry = _call(lambda: builder.add(kind, properties))
        return entry.arn, {"Arn": entry.arn}

    def update(arn: str, old: Properties, new: Properties, stack: str) -> Created:
        builder.change(arn, new)
        return arn, {"Arn": arn}

    def delete(arn: str, properties: Properties) -> None:
        _call(lambda: builder.remove(arn))

    return {"create": create, "update": update, "delete": delete}


def _image_handlers(builder: ImageBuilder, instances: Instances) -> Handlers:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        entry = _call(lambda: _build(builder, instances, properties, stack))
        builder.keep(entry)
        return entry.arn, _attributes(entry)

    def update(arn: str, old: Properties, new: Properties, stack: str) -> Created:
        entry = builder.get(arn)
        named = {"Name": entry.name, "Version": entry.version}
        return arn, _attributes(builder.change(arn, {**new, **named}))

    def delete(arn: str, properties: Properties) -> None:
        entry = builder.find(arn)
        if entry is not None:
            _call(partial(_delete, entry, properties.get("DeletionSettings") or {}))
            builder.remove(arn)

    return {"create": create, "update": update, "delete": delete}


def _call(function: Callable[[], T]) -> T:
    return handler_errors.call("Imagebuilder", _CODES, "InvalidRequest", function)


def _build(
    builder: ImageBuilder, instances: Instances, properties: Properties, stack: str
) -> Entry:
    recipe = builder.get(properties["ImageRecipeArn"])
    prefix = f"{arn_of(IMAGE, recipe.name)}/{recipe.version}/"
    arn = prefix + str(1 + sum(image.arn.startswith(prefix) for image in builder.all(IMAGE)))
    build = Build(
        instances,
        arn,
        recipe=recipe,
        components=builder.components(recipe),
        infrastructure=builder.get(properties["InfrastructureConfigurationArn"]),
        log_group=properties["LoggingConfiguration"]["LogGroupName"],
        is_wanted=lambda: not cloudformation._stacks[stack]["StackStatus"].startswith("DELETE"),
    )
    try:
        image_id = build.run()
    except BuildError as error:
        message = f"Image '{arn}' failed: {error}"
        raise handler_errors.failure(message, "NotStabilized") from error
    named = {"Name": recipe.name, "Version": recipe.version}
    image = instances.own.find(image_id)
    snapshots = tuple(image.snapshots()) if image else ()
    return Entry(arn, IMAGE, {**properties, **named}, image_id=image_id, snapshots=snapshots)


def _delete(entry: Entry, settings: Properties) -> None:
    """Delete the AMI and its snapshots as the role that is named; without a role they stay."""
    role_arn = settings.get("ExecutionRole")
    if role_arn is None:
        return
    name = role_arn.rpartition("/")[2]
    role = iam._roles.get(name)
    if role is None or SERVICE not in str(role["AssumeRolePolicyDocument"]):
        raise ApiError(
            "InvalidParameterValueException",
            f"The role '{role_arn}' does not exist or cannot be assumed by {SERVICE}.",
        )
    access = clients(new_session(name, "ImageBuilder"))
    try:
        remove_image(access, entry.image_id, list(entry.snapshots))
    except ClientError as error:
        raise ApiError("ServiceException", str(error)) from error


def _attributes(entry: Entry) -> dict[str, str]:
    """What Fn::GetAtt knows."""
    return {"Arn": entry.arn, "ImageId": entry.image_id, "Name": entry.name}
