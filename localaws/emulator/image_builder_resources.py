"""The types AWS::ImageBuilder::* of CloudFormation, all but Image, which takes a build."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from localaws.emulator.image_builder import (
    COMPONENT,
    DISTRIBUTION,
    INFRASTRUCTURE,
    RECIPE,
    Entry,
    ImageBuilder,
)
from localaws.errors import ApiError

Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
KINDS = {
    "AWS::ImageBuilder::Component": COMPONENT,
    "AWS::ImageBuilder::ImageRecipe": RECIPE,
    "AWS::ImageBuilder::InfrastructureConfiguration": INFRASTRUCTURE,
    "AWS::ImageBuilder::DistributionConfiguration": DISTRIBUTION,
}
HANDLER_CODES = {
    "ResourceAlreadyExistsException": "AlreadyExists",
    "ResourceDependencyException": "ResourceConflict",
    "ResourceNotFoundException": "NotFound",
}


def handlers(builder: ImageBuilder, kind: str) -> dict[str, Callable[..., Any]]:
    """The functions that ministack calls for a resource type."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        entry = said(lambda: builder.add(kind, properties))
        return entry.arn, _attributes(entry)

    def update(arn: str, old: Properties, new: Properties, stack: str) -> Created:
        return arn, _attributes(builder.change(arn, new))

    def delete(arn: str, properties: Properties) -> None:
        said(lambda: builder.remove(arn))

    return {"create": create, "update": update, "delete": delete}


def said(call: Callable[[], Any]) -> Any:
    """The call's result, or Image Builder's refusal as CloudFormation reports it."""
    try:
        return call()
    except ApiError as error:
        code = HANDLER_CODES.get(error.code, "InvalidRequest")
        raise failure(
            f"{error.message} (Service: Imagebuilder, Status Code: {error.status}, "
            f"Request ID: {uuid.uuid4()})",
            code,
        ) from error


def failure(text: str, code: str) -> RuntimeError:
    """A failed handler in CloudFormation's words."""
    return RuntimeError(
        f'Resource handler returned message: "{text}" (RequestToken: {uuid.uuid4()}, '
        f"HandlerErrorCode: {code})"
    )


def _attributes(entry: Entry) -> dict[str, str]:
    """What Fn::GetAtt knows."""
    attributes = {"Arn": entry.arn}
    if entry.document is not None:
        attributes |= {"Type": entry.document.kind, "Encrypted": "true"}
    if entry.version:
        attributes |= versions(entry.arn, entry.version)
    return attributes


def versions(arn: str, version: str) -> dict[str, str]:
    """The attributes LatestVersion: ARNs that mean the newest of a series."""
    major, minor, _ = version.split(".")
    start = arn.partition(f"/{version}")[0]
    named = {
        "Arn": "x.x.x",
        "Major": f"{major}.x.x",
        "Minor": f"{major}.{minor}.x",
        "Patch": version,
    }
    return {f"LatestVersion.{name}": f"{start}/{series}" for name, series in named.items()}
