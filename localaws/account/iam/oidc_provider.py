"""AWS::IAM::OIDCProvider, which ministack's CloudFormation lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import iam
from ministack.services.cloudformation import provisioners

TYPE = "AWS::IAM::OIDCProvider"
Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]


def install() -> None:
    """Add the type."""
    provisioners._RESOURCE_HANDLERS[TYPE] = handlers()
    provisioners._STACK_TAG_PROPERTY[TYPE] = ("Tags", "list")


def handlers() -> dict[str, Callable[..., Any]]:
    """The functions that ministack calls for the type."""

    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        status, _, body = iam._create_oidc_provider({"Url": [properties["Url"]]})
        if status != 200:
            raise ValueError(
                f"Provider with url {properties['Url']} already exists. (Service: Iam, Status "
                "Code: 409)"
            )
        arn = bytes(body).decode().partition("<OpenIDConnectProviderArn>")[2].partition("<")[0]
        _write(arn, properties)
        return arn, {"Arn": arn}

    def update(arn: str, old: Properties, new: Properties, stack: str) -> Created:
        _write(arn, new)
        return arn, {"Arn": arn}

    def delete(arn: str, properties: Properties) -> None:
        iam._oidc_providers.pop(arn, None)

    return {"create": create, "update": update, "delete": delete}


def _write(arn: str, properties: Properties) -> None:
    provider = iam._oidc_providers[arn]
    provider["ClientIDList"] = list(properties.get("ClientIdList") or [])
    provider["ThumbprintList"] = list(properties.get("ThumbprintList") or [])
    provider["Tags"] = [dict(tag) for tag in properties.get("Tags") or []]
