"""Responses of the EC2 API in XML, made from the SDK's form with botocore's model of EC2."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.session
from ministack.services import ec2

from localaws.account.errors import ApiError

Response = tuple[int, dict[str, str], bytes]


def response(operation: str, result: Mapping[str, Any]) -> Response:
    """The response of an operation; members that the model does not have are left out."""
    shape = _model().operation_model(operation).output_shape
    xml: Response = ec2._xml(200, f"{operation}Response", _members(shape, result))
    return xml


def part(structure: str, member: str, value: Any) -> str:
    """One member of a structure, by the names that the model has; empty without a value."""
    if not value:
        return ""
    shape = _model().shape_for(structure).members[member]
    return _element(shape.serialization.get("name", member), shape, value)


def refusal(error: ApiError) -> Response:
    """An error response."""
    xml: Response = ec2._error(error.code, escape(error.message), error.status)
    return xml


@cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("ec2")


def _members(shape: Any, value: Mapping[str, Any]) -> str:
    parts = []
    for name, member in shape.members.items():
        if value.get(name) is not None:
            parts.append(_element(member.serialization.get("name", name), member, value[name]))
    return "".join(parts)


def _element(tag: str, shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        inner = _members(shape, value)
    elif shape.type_name == "list":
        item = shape.member.serialization.get("name", "item")
        inner = "".join(_element(item, shape.member, each) for each in value)
    elif isinstance(value, bool):
        inner = str(value).lower()
    else:
        inner = escape(str(value))
    return f"<{tag}>{inner}</{tag}>"
