"""CloudFormation's refusals in AWS's words, where upstream has others or another code.

Each is held against a recording of AWS: `tests/localaws/recordings/answers.json`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import handlers

Answer = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Answer]
_NO_RESOURCE = re.compile(rb"Resource \[([^\]]*)\] does not exist in stack \[([^\]]*)\]")
_EXISTS = b"<Code>AlreadyExistsException</Code>"


def install() -> None:
    """Wrap the engine's actions."""
    actions = handlers._ACTION_HANDLERS
    actions["GetTemplate"] = _named(actions["GetTemplate"])
    for action in ("DescribeStackResource", "DescribeStackResources"):
        actions[action] = _without_resource(actions[action])
    actions["CreateChangeSet"] = _of_another_stack(actions["CreateChangeSet"])
    actions["ExecuteChangeSet"] = _only_complete(actions["ExecuteChangeSet"])


def _named(plain: Action) -> Action:
    """Say `Stack with id`, as DescribeStacks does."""

    def get_template(request: dict[str, Any]) -> Answer:
        name = handlers._p(request, "StackName")
        if name and not handlers._p(request, "ChangeSetName") and not handlers._resolve_stack(name):
            return _refusal("ValidationError", f"Stack with id {name} does not exist")
        return plain(request)

    return get_template


def _without_resource(plain: Action) -> Action:
    """Name a resource that a stack does not have as AWS does."""

    def describe(request: dict[str, Any]) -> Answer:
        status, headers, body = plain(request)
        return status, headers, _NO_RESOURCE.sub(rb"Resource \1 does not exist for stack \2", body)

    return describe


def _of_another_stack(plain: Action) -> Action:
    """Refuse a change set that would create a stack that exists; upstream has another code."""

    def create(request: dict[str, Any]) -> Answer:
        answer = plain(request)
        name, change_set = (handlers._p(request, key) for key in ("StackName", "ChangeSetName"))
        if _EXISTS in answer[2] and f"Stack [{name}]".encode() in answer[2]:
            return _refusal(
                "ValidationError",
                f"Stack [{name}] already exists and cannot be created again with the changeSet "
                f"[{change_set}].",
            )
        return answer

    return create


def _only_complete(plain: Action) -> Action:
    """Refuse to execute a change set that failed; upstream names its execution status."""

    def execute(request: dict[str, Any]) -> Answer:
        answer = plain(request)
        if answer[0] == HTTPStatus.OK or b"<Code>InvalidChangeSetStatus</Code>" not in answer[2]:
            return answer
        named, stack = (handlers._p(request, key) for key in ("ChangeSetName", "StackName"))
        for change_set in cloudformation._change_sets.values():
            ours = stack in ("", change_set["StackName"], change_set["StackId"])
            known = named in (change_set["ChangeSetId"], change_set["ChangeSetName"])
            if known and (ours or named == change_set["ChangeSetId"]):
                status = change_set["Status"]
                if status != "CREATE_COMPLETE":
                    return _refusal(
                        "InvalidChangeSetStatus",
                        f"ChangeSet [{change_set['ChangeSetId']}] cannot be executed in its "
                        f"current status of [{status}]",
                    )
        return answer

    return execute


def _refusal(code: str, text: str) -> Answer:
    answer: Answer = handlers._error(code, text)
    return answer
