"""Rules of EventBridge: deliveries to their targets, which may fail, and what is refused.

Upstream a rule invokes any function, whatever the function's policy admits, and once; scheduled
rules are looked at every 10 s of real time, in an account without rules too.
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.account.events.invocations import Invocations
from localaws.account.world import World

TYPE = "AWS::Events::Rule"
SERVICE = "events.amazonaws.com"
_log = logging.getLogger(__name__)
_rule: contextvars.ContextVar[str] = contextvars.ContextVar("rule", default="")
_NO_SCHEDULE = (
    "the embedded AWS does not run rules with a ScheduleExpression; use EventBridge Scheduler"
)


class Deliveries:
    """Delivers events to the targets of rules, with the planned faults.

    Args:
        world: The account's state.
        invocations: Invokes the functions.
    """

    def __init__(self, world: World, invocations: Invocations) -> None:
        self._world = world
        self._invocations = invocations
        self._held: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def install(self) -> None:
        """Replace ministack's deliveries and its look at scheduled rules."""
        plain = eventbridge._invoke_target

        def invoke_target(target: Any, event: Any, rule: dict[str, Any], view: Any = None) -> None:
            def deliver() -> None:
                token = _rule.set(rule["Arn"])
                try:
                    plain(target, event, rule, view)
                finally:
                    _rule.reset(token)

            self._deliver(deliver)

        eventbridge._invoke_target = invoke_target
        eventbridge._dispatch_to_lambda = self._invoke
        eventbridge._now_ts = self._world.clock
        eventbridge.start_scheduler = lambda: None
        app.SERVICE_HANDLERS["events"] = _without_schedules(app.SERVICE_HANDLERS["events"])
        handler = provisioners._RESOURCE_HANDLERS[TYPE]
        for operation, place in (("create", 1), ("update", 2)):
            handler[operation] = _checked(handler[operation], place)

    def release(self) -> None:
        """Deliver what is held back, in its order."""
        with self._lock:
            held, self._held = self._held, []
        for deliver in held:
            deliver()

    def _deliver(self, deliver: Callable[[], None]) -> None:
        kind = self._world.take_event_fault()
        if kind == "lose":
            return
        if kind == "late" and self._world.event_delay is not None:
            self._world.time.at(self._world.clock() + self._world.event_delay, deliver)
        elif kind == "late":
            context = contextvars.copy_context()
            with self._lock:
                self._held.append(partial(context.run, deliver))
        else:
            deliver()
            if kind == "twice":
                deliver()

    def _invoke(self, arn: str, payload: str) -> None:
        """Invoke a function, if its policy admits the rule; AWS counts a refusal in a metric."""
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not function or not config:
            _log.warning("rule %s: there is no function %s", _rule.get(), name)
        elif not _admits(function["policy"], arn, _rule.get()):
            _log.warning("rule %s: the policy of %s does not admit it", _rule.get(), arn)
        else:
            self._invocations.start(arn, json.loads(payload))


def _admits(policy: Mapping[str, Any], function: str, rule: str) -> bool:
    """Whether a function's resource policy lets EventBridge invoke it for a rule."""
    context = iam_evaluator.EvalContext(
        principal_arn=SERVICE,
        principal_type="AWSService",
        principal_account=get_account_id(),
        action="lambda:InvokeFunction",
        resource_arn=function,
        region=get_region(),
        service_context={"aws:sourcearn": rule, "aws:sourceaccount": get_account_id()},
    )
    result = iam_evaluator.evaluate_resource_policy(dict(policy), context, service=SERVICE)
    return bool(result.decision == "Allow")


def _without_schedules(service: Any) -> Any:
    async def checked(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Any:
        if headers.get("x-amz-target", "").endswith(".PutRule") and json.loads(body).get(
            "ScheduleExpression"
        ):
            text = json.dumps({"__type": "ValidationException", "message": _NO_SCHEDULE})
            return 400, {"Content-Type": "application/x-amz-json-1.1"}, text.encode()
        return await service(method, path, headers, body, query)

    return checked


def _checked(plain: Callable[..., Any], place: int) -> Callable[..., Any]:
    def handler(*arguments: Any, **named: Any) -> Any:
        if arguments[place].get("ScheduleExpression"):
            raise ValueError(f"{TYPE}: {_NO_SCHEDULE}")
        return plain(*arguments, **named)

    return handler
