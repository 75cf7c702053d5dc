"""Scheduler's API: ministack's, with the checks that it lacks.

Upstream every expression, time zone, target and role is accepted, authorization knows only the
default group, lists have no pages, and a thread looks at the schedules every 10 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import scheduler

from localaws.account.errors import ApiError
from localaws.account.scheduler.expressions import parse
from localaws.account.scheduler.roles import require_pass, require_trust
from localaws.account.scheduler.runs import Runs
from localaws.account.scheduler.targets import require_known
from localaws.account.world import World

Answer = tuple[int, dict[str, str], bytes]
Service = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, Any]], Awaitable[Answer]]
NAME = re.compile(r"[0-9a-zA-Z\-_.]{1,64}")
_SCHEDULE = "/schedules/"
_IN_GROUP = re.compile(rb"(Schedule [^ ]+) does not exist in group [^ ]+\.")
"""Upstream's words; AWS's name no group."""
_DEFAULTS = {
    "GroupName": "default",
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
}
_CHOICES = {
    "State": ("ENABLED", "DISABLED"),
    "ActionAfterCompletion": ("NONE", "DELETE"),
}
PAGE = 100


def install(world: World, runs: Runs) -> None:
    """Extend ministack's service."""
    scheduler._now = world.clock
    scheduler.start_scheduler = lambda: None
    app.SERVICE_HANDLERS["scheduler"] = _service(app.SERVICE_HANDLERS["scheduler"], runs)
    plain = iam_actions.extract_resource_arn

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == "scheduler":
            return _arn(*request[:5])
        arn: str = plain(service, *request)
        return arn

    iam_actions.extract_resource_arn = extract_resource_arn


def check(request: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Check a schedule as CreateSchedule and UpdateSchedule take it; returns it with defaults.

    Args:
        request: The parameters with their names in the API; times as numbers.
        now: In seconds since 1970.

    Raises:
        ApiError: AWS's refusal, or what the embedded AWS does not know.
    """
    given = {name: value for name, value in request.items() if value is not None}
    wanted: dict[str, Any] = {**_DEFAULTS, **given}
    target = wanted.get("Target") or {}
    for name in ("ScheduleExpression", "FlexibleTimeWindow", "Target"):
        if not wanted.get(name):
            raise _invalid(f"Value null at '{name[0].lower()}{name[1:]}' must not be null")
    for name, values in _CHOICES.items():
        if wanted[name] not in values:
            raise _invalid(f"{name} must be one of {', '.join(values)}, not {wanted[name]}")
    if wanted["FlexibleTimeWindow"].get("Mode") != "OFF":
        raise _invalid("the embedded AWS knows FlexibleTimeWindow with the mode OFF only")
    if not target.get("Arn") or not target.get("RoleArn"):
        raise _invalid("Target Arn and RoleArn are required.")
    try:
        parse(wanted["ScheduleExpression"], wanted["ScheduleExpressionTimezone"], now)
    except ValueError as error:
        raise _invalid(str(error)) from error
    start, end = wanted.get("StartDate"), wanted.get("EndDate")
    if start is not None and end is not None and end <= start:
        raise _invalid("The EndDate you specify must come after the StartDate.")
    policy = target.get("RetryPolicy") or {}
    _require_number(policy, "MaximumEventAgeInSeconds", 60, 86400)
    _require_number(policy, "MaximumRetryAttempts", 0, 185)
    require_known(target)
    if wanted["GroupName"] not in ("default", *scheduler._schedule_groups):
        raise ApiError(
            "ResourceNotFoundException",
            f"Schedule group {wanted['GroupName']} does not exist.",
            404,
        )
    require_trust(target["RoleArn"], wanted["GroupName"])
    return wanted


def refusal(error: ApiError) -> Answer:
    """An error response."""
    text = json.dumps({"Message": error.message})
    headers = {"Content-Type": "application/json", "x-amzn-errortype": error.code}
    return error.status, headers, text.encode()


def _service(plain: Service, runs: Runs) -> Service:
    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        scheduler._ensure_default_group()
        try:
            if path.startswith(_SCHEDULE) and method in ("POST", "PUT"):
                wanted = _checked(path, method, body, runs)
                key = router.extract_access_key_id(dict(headers), dict(query))
                require_pass(key, wanted["Target"]["RoleArn"])
                body = json.dumps(wanted).encode()
            elif method == "GET" and path in ("/schedules", "/schedule-groups"):
                return _page(await plain(method, path, headers, body, {**query, **_ALL}), query)
            status, sent, text = await plain(method, path, headers, body, query)
            answer = status, sent, _IN_GROUP.sub(rb"\1 does not exist.", text)
        except ApiError as error:
            return refusal(error)
        if method != "GET":
            runs.follow()
        return answer

    return service


_ALL = {"MaxResults": ["1000000"]}


def _checked(path: str, method: str, body: bytes, runs: Runs) -> dict[str, Any]:
    name = path.removeprefix(_SCHEDULE)
    if not NAME.fullmatch(name):
        raise _invalid(f"Value '{name}' at 'name' must satisfy [0-9a-zA-Z-_.]+, at most 64 of them")
    request = json.loads(body or b"{}")
    key = f"{request.get('GroupName') or 'default'}/{name}"
    if method == "PUT" and key not in scheduler._schedules:
        raise ApiError("ResourceNotFoundException", f"Schedule {name} does not exist.", 404)
    return check(request, runs.now())


def _page(answer: Answer, query: Mapping[str, Any]) -> Answer:
    """One page of a list, with the token of the next page."""
    status, headers, body = answer
    asked = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
    ((member, rows),) = json.loads(body).items()
    start = int(asked.get("NextToken", 0))
    end = start + int(asked.get("MaxResults", PAGE))
    result: dict[str, Any] = {member: rows[start:end]}
    if end < len(rows):
        result["NextToken"] = str(end)
    return status, headers, json.dumps(result).encode()


def _arn(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> str:
    """The resource that a call is authorized on; lists need `*`."""
    owner = f"arn:aws:scheduler:{get_region()}:{get_account_id()}"
    kind, _, name = path.strip("/").partition("/")
    if kind == "tags":
        return name
    if kind == "schedule-groups" and name:
        return f"{owner}:schedule-group/{name}"
    if kind == "schedules" and name:
        value = query.get("groupName") or json.loads(body or b"{}").get("GroupName")
        group = value[0] if isinstance(value, list) else value
        return f"{owner}:schedule/{group or 'default'}/{name}"
    return "*"


def _invalid(text: str) -> ApiError:
    return ApiError("ValidationException", text)


def _require_number(policy: Mapping[str, Any], name: str, low: int, high: int) -> None:
    if name in policy and not low <= int(policy[name]) <= high:
        raise _invalid(f"{name} must be between {low} and {high}, not {policy[name]}")
