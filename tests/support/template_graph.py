"""Resources of a CloudFormation template and the order that the references among them impose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Resource = dict[str, Any]

SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+)[.}]")
"""A logical id in the text of Fn::Sub; pseudo parameters have colons, literals a "!"."""


class TemplateGraph:
    """Resources by logical id, with what each refers to.

    CloudFormation creates a resource after everything that it refers to by Ref, Fn::GetAtt,
    Fn::Sub or DependsOn, and deletes in the opposite order.

    Args:
        template: A synthesized template.
    """

    def __init__(self, template: Mapping[str, Any]) -> None:
        self.resources: dict[str, Resource] = template["Resources"]

    def of_type(self, resource_type: str) -> dict[str, Resource]:
        """The resources of a type."""
        return {
            logical_id: resource
            for logical_id, resource in self.resources.items()
            if resource["Type"] == resource_type
        }

    def references(self, value: Any) -> set[str]:
        """Logical ids of the resources that a resource, or any part of one, refers to."""
        return set(_names(value)) & self.resources.keys()

    def dependents(self, logical_id: str) -> set[str]:
        """The resources that refer to a resource directly."""
        return {
            dependent
            for dependent, resource in self.resources.items()
            if logical_id in self.references(resource)
        }

    def created_before(self, logical_id: str) -> set[str]:
        """What a resource needs, directly or through others; it is deleted after the resource."""
        needed: set[str] = set()
        pending = [logical_id]
        while pending:
            new = self.references(self.resources[pending.pop()]) - needed
            needed |= new
            pending += new
        return needed


def _names(value: Any) -> Iterator[str]:
    """Logical ids, parameters and pseudo parameters that a value names."""
    if isinstance(value, list):
        for item in value:
            yield from _names(item)
    elif isinstance(value, dict):
        for key, argument in value.items():
            if key == "Ref":
                yield argument
            elif key == "Fn::GetAtt":
                yield argument[0]
            elif key == "DependsOn":
                yield from [argument] if isinstance(argument, str) else argument
            else:
                if key == "Fn::Sub":
                    text = argument if isinstance(argument, str) else argument[0]
                    yield from SUBSTITUTION.findall(text)
                yield from _names(argument)


def statements(value: Any) -> Iterator[dict[str, Any]]:
    """Every policy statement in a value, at any depth and in whatever property."""
    if isinstance(value, list):
        for item in value:
            yield from statements(item)
    elif isinstance(value, dict):
        if value.get("Effect") in ("Allow", "Deny"):
            yield value
        for item in value.values():
            yield from statements(item)


def actions(statement: Mapping[str, Any]) -> list[str]:
    """The actions of a statement; IAM takes one as a text or several as a list."""
    action = statement["Action"]
    return [action] if isinstance(action, str) else action
