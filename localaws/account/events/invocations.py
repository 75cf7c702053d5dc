"""Asynchronous invocations of functions, and the next attempts of those that failed.

Upstream the second and third attempt come after 1 and 2 s of real time, and a rule makes one only.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from ministack.services import lambda_svc

from localaws.account.clock import Clock

WAITS = (60, 120)
"""Seconds before the second and the third attempt (Lambda developer guide, "Error handling for
asynchronous invocation")."""
ATTEMPTS, EVENT_AGE = 2, 21600
"""Lambda's defaults: further attempts, and seconds for which an event is kept."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Event:
    function: str
    payload: Any
    since: float


class Invocations:
    """Invokes functions asynchronously.

    Args:
        clock: The account's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def install(self) -> None:
        """Replace ministack's function, which API calls, topics and buckets use."""

        def invoke(record: dict[str, Any], payload: Any) -> None:
            config = record.get("config") or record
            self.start(config["FunctionArn"], payload)

        lambda_svc.invoke_async_with_retry = invoke

    def start(self, function: str, payload: Any) -> None:
        """Invoke a function by its ARN; the caller does not wait."""
        event = _Event(function, payload, self._clock.now())
        self._clock.start(partial(self._attempt, event, 1))

    def _attempt(self, event: _Event, number: int) -> None:
        function, config, name = lambda_svc._get_func_record_for_ref(event.function)
        if not function or not config:
            return
        record = lambda_svc._execution_record_for_config(function, config)
        result = lambda_svc._execute_function_with_config_scope(record, event.payload)
        if not result.get("error"):
            return
        settings = _settings(function)
        if number <= int(settings.get("MaximumRetryAttempts", ATTEMPTS)):
            when = self._clock.now() + WAITS[number - 1]
            if when - event.since <= float(settings.get("MaximumEventAgeInSeconds", EVENT_AGE)):
                self._clock.at(when, partial(self._attempt, event, number + 1))
                return
        _log.warning("function %s: gave an event up after %d attempts", name, number)
        destination = (settings.get("DestinationConfig") or {}).get("OnFailure") or {}
        queue = (config.get("DeadLetterConfig") or {}).get("TargetArn")
        target = destination.get("Destination") or queue
        if target:
            lambda_svc._route_async_failure(target, name, event.payload, result)


def _settings(function: dict[str, Any]) -> dict[str, Any]:
    """The function's EventInvokeConfig: unqualified by the API, of $LATEST by CloudFormation."""
    by_qualifier = function.get("event_invoke_configs") or {}
    settings: dict[str, Any] = by_qualifier.get("") or by_qualifier.get("$LATEST") or {}
    return settings
