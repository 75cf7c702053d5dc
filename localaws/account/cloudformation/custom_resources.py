"""Custom resources: time-outs, reasons, the fixed service token, a Delete after a failed Create."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import cloudformation
from ministack.services.cloudformation import custom_resource, provisioners, stacks

from localaws.account.world import World

CUSTOM = "AWS::CloudFormation::CustomResource"
TOKEN = "ServiceToken"
_issued: set[str] = set()


def install(world: World) -> FailedCreates:
    """Replace what differs from AWS; returns the creations that failed."""
    _scale_timeouts(world)
    _give_reasons()
    _refuse_another_service_token()
    failed = FailedCreates()
    failed.install()
    return failed


def is_custom(resource_type: str) -> bool:
    """Whether a type is answered by a function of the account."""
    return resource_type == CUSTOM or resource_type.startswith("Custom::")


def response_known(token: str) -> bool:
    """Whether a function was given this token; its answer may come too late, as on AWS."""
    return token in _issued


def _scale_timeouts(world: World) -> None:
    """Scale ServiceTimeout, and remember the tokens."""
    plain = custom_resource.register_token

    class ScaledEvent(threading.Event):
        """An event whose time-out is in the world's seconds."""

        def wait(self, timeout: float | None = None) -> bool:
            return super().wait(None if timeout is None else timeout * world.scale)

    def register_token(token: str) -> threading.Event:
        plain(token)
        _issued.add(token)
        event = ScaledEvent()
        custom_resource._pending[token]["event"] = event
        return event

    custom_resource.register_token = register_token


def _give_reasons() -> None:
    """Report a failure and a missing answer as AWS does.

    Upstream the function's own words are the whole reason.
    """
    plain = custom_resource.invoke_custom_resource

    def invoke(*arguments: Any, **named: Any) -> Any:
        try:
            return plain(*arguments, **named)
        except TimeoutError as error:
            raise TimeoutError(
                "CloudFormation did not receive a response from your Custom Resource. Please check "
                f"your logs for requestId [{uuid.uuid4()}]. If you are using the Python "
                "cfn-response module, you may need to update your Lambda function code so that "
                "CloudFormation can attach the updated version."
            ) from error
        except RuntimeError as error:
            raise RuntimeError(
                "Received response status [FAILED] from custom resource. Message returned: "
                f"{error} (RequestId: {uuid.uuid4()})"
            ) from error

    custom_resource.invoke_custom_resource = invoke


def _refuse_another_service_token() -> None:
    """Refuse another ServiceToken in an update; upstream the other function gets the update."""
    plain = stacks._custom_named_replacement_error

    def refusal(
        resource_type: str, old: dict[str, Any], new: dict[str, Any], *rest: Any
    ) -> str | None:
        if is_custom(resource_type) and old.get(TOKEN) != new.get(TOKEN):
            return "Modifying service token is not allowed."
        error: str | None = plain(resource_type, old, new, *rest)
        return error

    for module in (provisioners, stacks):
        module._custom_named_replacement_error = refusal


class FailedCreates:
    """Creations that failed, which get a Delete in the rollback.

    Upstream they get none. The function's answer may name what it created; otherwise
    CloudFormation makes up a physical id.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], str] = {}
        self._records: dict[str, dict[str, dict[str, Any]]] = {}

    def install(self) -> None:
        """Record creations that fail, and the answers of functions."""
        deliver = custom_resource.deliver_response

        def deliver_response(token: str, response: dict[str, Any]) -> bool:
            key = (response.get("StackId", ""), response.get("LogicalResourceId", ""))
            self._answers[key] = response.get("PhysicalResourceId") or ""
            return bool(deliver(token, response))

        custom_resource.deliver_response = deliver_response
        stacks._provision_resource = self._watched(stacks._provision_resource)

    def hand_over(self, stack: dict[str, Any]) -> list[str]:
        """Move failed creations into a stack whose rollback or deletion begins.

        Returns:
            Their logical ids.
        """
        failed = self._records.pop(stack["StackId"], {})
        stack["_resources"].update(failed)
        return list(failed)

    def _watched(self, provision: Callable[..., Any]) -> Callable[..., Any]:
        def provision_resource(
            resource_type: str, logical_id: str, properties: dict[str, Any], stack_name: str
        ) -> Any:
            stack_id = cloudformation._stacks[stack_name]["StackId"]
            self._answers.pop((stack_id, logical_id), None)
            failed = self._records.setdefault(stack_id, {})
            failed.pop(logical_id, None)
            try:
                return provision(resource_type, logical_id, properties, stack_name)
            except (RuntimeError, TimeoutError):
                if is_custom(resource_type):
                    made_up = f"{stack_name}-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
                    failed[logical_id] = {
                        "PhysicalResourceId": self._answers.get((stack_id, logical_id)) or made_up,
                        "ResourceType": resource_type,
                        "ResourceStatus": "CREATE_FAILED",
                        "LogicalResourceId": logical_id,
                        "Properties": properties,
                        "Attributes": {},
                        "Timestamp": now_iso(),
                    }
                raise

        return provision_resource
