"""AWS::Scheduler::Schedule and AWS::Scheduler::ScheduleGroup.

Upstream the first loses its time zone, end, retries and what happens after it, an update too, and
both are created over what exists.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

from localaws.account.cloudformation import handler_errors
from localaws.account.errors import ApiError
from localaws.account.scheduler.roles import group_arn
from localaws.account.scheduler.runs import Runs
from localaws.account.scheduler.service import check

SCHEDULE, GROUP = "AWS::Scheduler::Schedule", "AWS::Scheduler::ScheduleGroup"
Properties = dict[str, Any]
Created = tuple[str, dict[str, str]]
_CODES = {
    "ConflictException": "AlreadyExists",
    "ResourceNotFoundException": "NotFound",
    "ValidationException": "InvalidRequest",
}
_DATES = ("StartDate", "EndDate")
_NUMBERS = ("MaximumEventAgeInSeconds", "MaximumRetryAttempts")


def install(runs: Runs) -> None:
    """Replace ministack's functions."""
    provisioners._RESOURCE_HANDLERS[SCHEDULE] = _schedule(runs)
    provisioners._RESOURCE_HANDLERS[GROUP] = _group(runs)


def _schedule(runs: Runs) -> dict[str, Callable[..., Any]]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        name = properties.get("Name") or _name(stack, logical_id)
        wanted = _call(lambda: check(_request(properties), runs.now()))
        _call(lambda: _require(scheduler._create_schedule(name, wanted)))
        runs.follow()
        return name, _schedule_attributes(name, properties)

    def update(name: str, old: Properties, new: Properties, stack: str) -> Created:
        # The group cannot be changed: the schedule is identified by both names
        wanted = _call(lambda: check(_request(new), runs.now()))
        _call(lambda: _require(scheduler._update_schedule(name, wanted)))
        runs.follow()
        return name, _schedule_attributes(name, new)

    def delete(name: str, properties: Properties) -> None:
        # It may have deleted itself when it was completed
        scheduler._delete_schedule(name, {"groupName": _group_name(properties)})
        runs.follow()

    return {"create": create, "update": update, "delete": delete}


def _group(runs: Runs) -> dict[str, Callable[..., Any]]:
    def create(logical_id: str, properties: Properties, stack: str) -> Created:
        name = properties.get("Name") or _name(stack, logical_id)
        _call(lambda: _require(scheduler._create_schedule_group(name, properties)))
        return name, _group_attributes(name)

    def update(name: str, old: Properties, new: Properties, stack: str) -> Created:
        arn = group_arn(name)
        tags = dict(scheduler._tags.get(arn, {}))
        for tag in old.get("Tags") or []:
            tags.pop(tag["Key"], None)
        scheduler._tags[arn] = tags | {tag["Key"]: tag["Value"] for tag in new.get("Tags") or []}
        return name, _group_attributes(name)

    def delete(name: str, properties: Properties) -> None:
        scheduler._delete_schedule_group(name, {})
        runs.follow()

    return {"create": create, "update": update, "delete": delete}


def _request(properties: Properties) -> dict[str, Any]:
    """The properties as CreateSchedule takes them: a template may have numbers as text."""
    request = dict(properties)
    for name in _DATES:
        if name in request:
            text = str(request[name]).replace("Z", "+00:00")
            moment = datetime.fromisoformat(text)
            request[name] = moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    target = dict(request.get("Target") or {})
    if "RetryPolicy" in target:
        policy = target["RetryPolicy"]
        target["RetryPolicy"] = {
            name: int(value) if name in _NUMBERS else value for name, value in policy.items()
        }
    return {**request, "Target": target}


def _name(stack: str, logical_id: str) -> str:
    """A generated name, shortened to Scheduler's 64 characters."""
    suffix = secrets.token_hex(6).upper()
    return f"{stack[:24]}-{logical_id[:24]}-{suffix}"


def _group_name(properties: Properties) -> str:
    return str(properties.get("GroupName") or "default")


def _schedule_attributes(name: str, properties: Properties) -> dict[str, str]:
    return {"Arn": scheduler._schedule_arn(_group_name(properties), name)}


def _group_attributes(name: str) -> dict[str, str]:
    group = scheduler._schedule_groups[name]
    dates = {
        key: datetime.fromtimestamp(group[key], timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for key in ("CreationDate", "LastModificationDate")
    }
    return {"Arn": group["Arn"], "State": group["State"], **dates}


def _require(answer: tuple[int, dict[str, str], bytes]) -> None:
    """Raise a refusal of ministack's service."""
    status, headers, body = answer
    if status != 200:
        raise ApiError(headers["x-amzn-errortype"], json.loads(body)["Message"], status)


def _call(function: Callable[[], Any]) -> Any:
    return handler_errors.call("Scheduler", _CODES, "GeneralServiceException", function)
