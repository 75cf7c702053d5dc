"""Reads a change set: creates it, describes all its pages, and deletes it without executing it.

The CDK CLI's ``deploy --method=prepare-change-set`` also sets the stack's termination protection
and deletes a stack whose creation failed. So the same request is made here instead.
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
"""CloudFormation's limit for a template in the request body (user guide, quotas)."""
WAIT_SECONDS = 300.0
"""Timeout for creating a change set, and for deleting it with its empty stack. Usually seconds."""
POLL_SECONDS = 1.0
SETTLE_SECONDS = 60.0
"""How long a new change set may be reported as not found (awscfncli#109)."""
NAME_PREFIX = "gpustation-plan-"
REVIEW = "REVIEW_IN_PROGRESS"
"""Status of a stack that was created by a change set and has no resources yet."""
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
"""Parts of the status reason of a change set without changes, as in the CDK CLI."""

Change = Mapping[str, Any]


class ChangeSetError(Exception):
    """The change set could not be read; the message says why in one line."""


@dataclass(frozen=True)
class Deployed:
    """A stack that exists.

    Attributes:
        status: Status of the stack.
        reason: Reason for the status; empty if CloudFormation gives none.
        parameters: Names of the template's parameters.
    """

    status: str
    reason: str
    parameters: frozenset[str]


def find_stack(cloudformation: CloudFormationClient, name: str) -> Deployed | None:
    """The stack with that name; ``None`` if it does not exist."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return Deployed(
        status=stack["StackStatus"],
        reason=stack.get("StackStatusReason", ""),
        parameters=frozenset(row["ParameterKey"] for row in stack.get("Parameters", [])),
    )


def read_changes(
    cloudformation: CloudFormationClient,
    stack: SynthesizedStack,
    deployed: Deployed | None,
    *,
    poll_seconds: float = POLL_SECONDS,
) -> list[Change] | None:
    """The changes that a deploy would make, according to a change set that is deleted again.

    Args:
        cloudformation: Client with the permissions of the CDK CLI's deploy role.
        stack: The stack to deploy.
        deployed: The existing stack; ``None`` if there is none.
        poll_seconds: Polling interval.

    Returns:
        The ``ResourceChange`` of every changed resource; empty if only outputs change; ``None`` if
        nothing changes.

    Raises:
        ChangeSetError: CloudFormation rejects the template, or takes too long.
        Interrupted: A signal was received.
    """
    with _change_set(cloudformation, stack, deployed, poll_seconds) as (names, hold):
        pages = _final_pages(cloudformation, names, poll_seconds, hold)
        status, reason = pages[0]["Status"], pages[0].get("StatusReason", "")
        if status == "FAILED" and any(text in reason for text in _NO_CHANGES):
            return None
        if status != "CREATE_COMPLETE":
            raise ChangeSetError(f"{stack.name}: CloudFormation rejects the change set: {reason}")
        changes = [change for page in pages for change in page["Changes"]]
        return [change["ResourceChange"] for change in changes if "ResourceChange" in change]


@contextmanager
def _change_set(
    cloudformation: CloudFormationClient,
    stack: SynthesizedStack,
    deployed: Deployed | None,
    poll_seconds: float,
) -> Iterator[tuple[Mapping[str, Any], Hold]]:
    """Create a change set, yield the request with its names, and delete it at the end."""
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
                f"{what} could not be deleted ({explain(error)}) and may remain; delete it "
                "yourself, it is not needed"
            ) from error

    with held(f"deleting {what}; if this process is killed, delete it yourself") as hold:
        try:
            _create(cloudformation, request)
        except BaseException:
            with suppress(ChangeSetError):  # report the first error, not that of the clean-up
                clear()
            raise
        try:
            yield request, hold
        except BaseException:
            try:
                clear()
            except ChangeSetError as error:
                warn(f"plan: {error}")
            raise
        clear()


def _create(cloudformation: CloudFormationClient, request: Mapping[str, Any]) -> None:
    try:
        cloudformation.create_change_set(**request)
    except ClientError as error:
        # The SDK retries a request whose response was lost; the name is unique to this request
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise


def _request(stack: SynthesizedStack, kept: frozenset[str]) -> dict[str, Any]:
    """The CDK CLI's request; ``kept`` are the parameters that keep their deployed value."""
    size = len(body_of(stack).encode())
    if size > MAX_TEMPLATE_BYTES and not stack.template_url:
        raise ChangeSetError(
            f"{stack.name}: the template has {size} bytes, and the request of a change set takes "
            f"at most {MAX_TEMPLATE_BYTES}; its cloud assembly names no bucket for it: use "
            "`cdk diff`"
        )
    parameters = [name for name in stack.template.get("Parameters", {}) if name in kept]
    request: dict[str, Any] = {
        "StackName": stack.name,
        "ChangeSetName": f"{NAME_PREFIX}{uuid.uuid4().hex[:12]}",
        "Description": "Only read, never executed",
        **(
            {"TemplateURL": stack.template_url}
            if stack.template_url
            else {"TemplateBody": body_of(stack)}
        ),
        "Parameters": [{"ParameterKey": name, "UsePreviousValue": True} for name in parameters],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "Capabilities": [*_CAPABILITIES],
    }
    return request | ({"RoleARN": stack.execution_role} if stack.execution_role else {})


def body_of(stack: SynthesizedStack) -> str:
    """The template as short as JSON allows."""
    return json.dumps(stack.template, separators=(",", ":"))


def _final_pages(
    cloudformation: CloudFormationClient,
    names: Mapping[str, Any],
    poll_seconds: float,
    hold: Hold,
) -> list[Any]:
    """All pages of the change set's description, once its creation has ended."""
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
                f"{names['StackName']}: the change set was not complete after {WAIT_SECONDS:g} s; "
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
    """Delete the change set, and the empty stack if it was created with it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not _is_deleted(cloudformation, names):
        _pause(deadline, poll_seconds, f"change set {names['ChangeSetName']}")
    stack = find_stack(cloudformation, names["StackName"]) if made_stack else None
    if stack is None or stack.status != REVIEW:
        return
    cloudformation.delete_stack(StackName=names["StackName"])
    while find_stack(cloudformation, names["StackName"]) is not None:
        _pause(deadline, poll_seconds, f"empty stack {names['StackName']}")


def _is_deleted(cloudformation: CloudFormationClient, names: Mapping[str, Any]) -> bool:
    """Try to delete the change set; false while its creation is in progress."""
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
            f"the {what} still exists after {WAIT_SECONDS:g} s; delete it, it is not needed"
        )
    time.sleep(poll_seconds)
