"""A change set that is only read: made, described with all its pages, and gone again.

The CDK CLI's ``deploy --method=prepare-change-set`` would do more than that: it sets the stack's
termination protection, and deletes a stack whose creation failed. So the request is made here,
with what the CLI would put into it.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.session import explain
from gpustation.console.interrupts import Hold, held, warn
from gpustation.plan.assembly import SynthesizedStack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

MAX_TEMPLATE_BYTES = 51_200
"""CloudFormation's limit of a template in the request itself (user guide, quotas)."""
WAIT_SECONDS = 300.0
"""How long a change set, or the removal of the stack that it made, may take; seconds are usual."""
POLL_SECONDS = 1.0
SETTLE_SECONDS = 60.0
"""How long CloudFormation may not know a change set that it has just made (awscfncli#109)."""
NAME_PREFIX = "gpustation-plan-"
REVIEW = "REVIEW_IN_PROGRESS"
"""Status of a stack that a change set made, and nothing else yet."""
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation fails a change set that would do nothing (the CDK CLI knows the same two)."""

Change = Mapping[str, Any]


class ChangeSetError(Exception):
    """Why there is no change set, in one line."""


@dataclass(frozen=True)
class Deployed:
    """A stack that exists.

    Attributes:
        status: Its status.
        reason: Why it has that status, as far as CloudFormation tells.
        parameters: Names of its template's parameters.
    """

    status: str
    reason: str
    parameters: frozenset[str]


def find_stack(cloudformation: CloudFormationClient, name: str) -> Deployed | None:
    """The stack of that name, if there is one."""
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return Deployed(
        status=described["StackStatus"],
        reason=described.get("StackStatusReason", ""),
        parameters=frozenset(row["ParameterKey"] for row in described.get("Parameters", [])),
    )


def read_changes(
    cloudformation: CloudFormationClient,
    stack: SynthesizedStack,
    deployed: Deployed | None,
    *,
    poll_seconds: float = POLL_SECONDS,
) -> list[Change] | None:
    """What CloudFormation says a deploy would change; nothing is left of the question.

    Args:
        cloudformation: Client with the rights of the CDK CLI's deploy role.
        stack: What would be deployed.
        deployed: What there is of it.
        poll_seconds: Pause between two looks.

    Returns:
        The ``ResourceChange`` of every resource, or None if nothing would change. Empty means that
        only outputs would.

    Raises:
        ChangeSetError: CloudFormation refuses the template, or takes too long.
        Interrupted: A signal came.
    """
    with _made(cloudformation, stack, deployed, poll_seconds) as (names, hold):
        pages = _final_pages(cloudformation, names, poll_seconds, hold)
        status, reason = pages[0]["Status"], pages[0].get("StatusReason", "")
        if status == "FAILED" and any(text in reason for text in _NO_CHANGES):
            return None
        if status != "CREATE_COMPLETE":
            raise ChangeSetError(f"{stack.name}: CloudFormation refuses the change set: {reason}")
        changes = [change for page in pages for change in page["Changes"]]
        return [one["ResourceChange"] for one in changes if "ResourceChange" in one]


@contextmanager
def _made(
    cloudformation: CloudFormationClient,
    stack: SynthesizedStack,
    deployed: Deployed | None,
    poll_seconds: float,
) -> Iterator[tuple[Mapping[str, Any], Hold]]:
    """Name the change set and its stack while it exists."""
    new = deployed is None or deployed.status == REVIEW
    request = _request(stack, deployed.parameters if deployed and not new else frozenset())
    request["ChangeSetType"] = "CREATE" if new else "UPDATE"
    what = f"change set {request['ChangeSetName']}"
    if deployed is None:
        what += f" and the empty stack {stack.name}"

    def clear() -> None:
        try:
            _remove(cloudformation, request, deployed is None, poll_seconds)
        except (ClientError, BotoCoreError) as error:
            raise ChangeSetError(
                f"{what} could not be deleted ({explain(error)}) and may be left; delete them "
                "where they are, nothing needs them"
            ) from error

    with held(
        f"deleting {what}; if this is killed before its end, delete them, nothing needs them"
    ) as hold:
        try:
            _create(cloudformation, request)
        except BaseException:
            with suppress(ChangeSetError):  # where nothing was made, this has no right to more
                clear()
            raise
        try:
            yield request, hold
        except BaseException:
            try:
                clear()
            except ChangeSetError as left:
                warn(f"plan: {left}")
            raise
        clear()


def _create(cloudformation: CloudFormationClient, request: Mapping[str, Any]) -> None:
    try:
        cloudformation.create_change_set(**request)
    except ClientError as error:
        # The SDK repeats a request whose answer got lost, and the name is this one's alone
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def _request(stack: SynthesizedStack, kept: frozenset[str]) -> dict[str, Any]:
    """As the CDK CLI asks; ``kept`` are the parameters whose value the stack has."""
    body = json.dumps(stack.template, separators=(",", ":"))
    size = len(body.encode())
    if size > MAX_TEMPLATE_BYTES:
        raise ChangeSetError(
            f"{stack.name}: the template has {size} bytes, and a change set takes "
            f"{MAX_TEMPLATE_BYTES} in its request; use `cdk diff`"
        )
    parameters = [name for name in stack.template.get("Parameters", {}) if name in kept]
    request: dict[str, Any] = {
        "StackName": stack.name,
        "ChangeSetName": f"{NAME_PREFIX}{uuid.uuid4().hex[:12]}",
        "Description": "Only read, never executed",
        "TemplateBody": body,
        "Parameters": [{"ParameterKey": name, "UsePreviousValue": True} for name in parameters],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "Capabilities": [*_CAPABILITIES],
    }
    return request | ({"RoleARN": stack.execution_role} if stack.execution_role else {})


def _final_pages(
    cloudformation: CloudFormationClient,
    names: Mapping[str, Any],
    poll_seconds: float,
    hold: Hold,
) -> list[Any]:
    """All pages of the change set's description once it is no longer being made."""
    began = time.monotonic()
    while True:
        hold.check()
        try:
            pages = _pages(cloudformation, names)
        except ClientError as error:
            unknown = error.response["Error"]["Code"].startswith("ChangeSetNotFound")
            if not unknown or time.monotonic() - began > SETTLE_SECONDS:
                raise
        else:
            if pages[0]["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
                return pages
        if time.monotonic() - began > WAIT_SECONDS:
            raise ChangeSetError(
                f"{names['StackName']}: the change set was not there after {WAIT_SECONDS:g} s; "
                "try again"
            )
        hold.pause(poll_seconds)


def _pages(cloudformation: CloudFormationClient, names: Mapping[str, Any]) -> list[Any]:
    paginator = cloudformation.get_paginator("describe_change_set")
    return [*paginator.paginate(StackName=names["StackName"], ChangeSetName=names["ChangeSetName"])]


def _remove(
    cloudformation: CloudFormationClient,
    names: Mapping[str, Any],
    made_stack: bool,
    poll_seconds: float,
) -> None:
    """Delete the change set, and the empty stack if it was made with it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not _is_deleted(cloudformation, names):
        _pause(deadline, poll_seconds, f"change set {names['ChangeSetName']}")
    found = find_stack(cloudformation, names["StackName"]) if made_stack else None
    if found is None or found.status != REVIEW:
        return
    cloudformation.delete_stack(StackName=names["StackName"])
    while find_stack(cloudformation, names["StackName"]) is not None:
        _pause(deadline, poll_seconds, f"empty stack {names['StackName']}")


def _is_deleted(cloudformation: CloudFormationClient, names: Mapping[str, Any]) -> bool:
    """Delete the change set; one that is still being made cannot go yet."""
    try:
        cloudformation.delete_change_set(
            StackName=names["StackName"], ChangeSetName=names["ChangeSetName"]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "InvalidChangeSetStatus":
            return False
        if "does not exist" not in str(error):
            raise
    return True


def _pause(deadline: float, poll_seconds: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise ChangeSetError(
            f"the {what} is still there after {WAIT_SECONDS:g} s; delete it, nothing needs it"
        )
    time.sleep(poll_seconds)
