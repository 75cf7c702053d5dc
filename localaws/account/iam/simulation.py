"""SimulatePrincipalPolicy for users and roles with a path, and with condition keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam

OPERATION = "SimulatePrincipalPolicy"
_SOURCE = "PolicySourceArn"
_given: ContextVar[Mapping[str, Any] | None] = ContextVar("context entries", default=None)


def install() -> None:
    """Look up a user or role by its name alone, and evaluate with the request's ContextEntries.

    Upstream everything after `role/` counts as the name, so that a role with a path has no policies
    and nothing is allowed to it; ContextEntries are ignored, so that no statement with a condition
    ever matches; and the call is authorized on `*`, not on the user or role.
    """
    plain, plain_evaluate = iam._IAM_HANDLERS[OPERATION], iam_evaluator.evaluate
    plain_arn = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, *request: Any) -> str:
        parameters = request[4]
        if service == "iam" and iam._p(parameters, "Action") == OPERATION:
            return str(iam._p(parameters, _SOURCE))
        arn: str = plain_arn(service, *request)
        return arn

    def simulate(parameters: dict[str, Any]) -> Any:
        arn = str(iam._p(parameters, _SOURCE))
        kind, _, path = arn.rpartition(":")[2].partition("/")
        start = arn.removesuffix(f"{kind}/{path}")
        named = f"{start}{kind}/{path.rpartition('/')[2]}" if path else arn
        before = _given.set(_entries(parameters))
        try:
            return plain({**parameters, _SOURCE: [named]})
        finally:
            _given.reset(before)

    def evaluate(context: Any, *policies: Any) -> Any:
        given = _given.get()
        if given is not None:
            context = dataclasses.replace(context, service_context=dict(given))
        return plain_evaluate(context, *policies)

    iam_actions.extract_resource_arn = extract_resource_arn
    iam._IAM_HANDLERS[OPERATION] = simulate
    iam_evaluator.evaluate = evaluate


def _entries(parameters: dict[str, Any]) -> dict[str, Any]:
    """The ContextEntries by their keys, of which IAM does not look at the case."""
    entries: dict[str, Any] = {}
    number = 1
    while key := str(iam._p(parameters, f"ContextEntries.member.{number}.ContextKeyName")):
        start = f"ContextEntries.member.{number}.ContextKeyValues"
        entries[key.lower()] = str(iam._p(parameters, f"{start}.member.1"))
        number += 1
    return entries
