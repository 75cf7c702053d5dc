"""Installs the corrections of ministack's CloudFormation engine, and has the small ones."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

from ministack.services import cloudformation, ssm
from ministack.services.cloudformation import provisioners, stacks, wait_conditions

from localaws.account.cloudformation import (
    custom_resources,
    refusals,
    resource_faults,
    schemas,
    stack_resources,
    table_resource,
)
from localaws.account.cloudformation.handler_errors import failure
from localaws.account.cloudformation.stack_events import WAIT, Events, wait_id
from localaws.account.cloudformation.stack_operations import CANCELLED, Operations, is_given_up
from localaws.account.ec2 import instance_resource, security_groups, subnets
from localaws.account.ec2.instances import Instances
from localaws.account.iam import oidc_provider
from localaws.account.world import World
from localaws.image_builder import resource_types as image_resource
from localaws.reports import Signal

WAIT_STEP = 0.2
"""Seconds between two checks whether a wait was cancelled."""


def install(world: World, instances: Instances) -> None:
    """Replace the engine's functions that differ from AWS."""
    provisioners._RESOURCE_HANDLERS[schemas.INSTANCE] = instance_resource.handlers(instances)
    provisioners._STACK_TAG_PROPERTY[schemas.INSTANCE] = ("Tags", "list")
    subnets.install()
    oidc_provider.install()
    security_groups.install()
    table_resource.install()
    image_resource.install(instances)
    _install_parameters()
    _install_replacement()
    _install_waits(world)
    resource_faults.install(world)
    Operations(custom_resources.install(world)).install()
    stack_resources.install()
    refusals.install()
    Events().install()


def _install_parameters() -> None:
    """Correct AWS::SSM::Parameter.

    Upstream an unnamed parameter is `/STACK/LOGICAL-ID`. On AWS the name has no slash, on which
    its ARN in a policy depends: `parameter` + `/a/b`, but `parameter/` + `CFN-...`. And upstream
    an update creates a parameter that somebody deleted, and a parameter that does not exist has a
    message, which AWS leaves empty.
    """
    plain_error = ssm.error_response_json

    def error_response_json(code: str, message: str, *rest: Any) -> Any:
        return plain_error(code, "" if code == "ParameterNotFound" else message, *rest)

    ssm.error_response_json = error_response_json
    kind = "AWS::SSM::Parameter"
    handler = provisioners._RESOURCE_HANDLERS[kind]
    plain_create, plain_update = handler["create"], handler["update"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        name = properties.get("Name") or f"CFN-{logical_id}-{secrets.token_hex(6)}"
        return plain_create(logical_id, {**properties, "Name": name}, stack_name)

    def update(name: str, *rest: Any) -> Any:
        if name not in ssm._parameters:
            text = f"Resource of type '{kind}' with identifier '{name}' was not found."
            raise failure(text, "NotFound")
        return plain_update(name, *rest)

    handler.update(create=create, update=update)


def _install_replacement() -> None:
    """Take from the schemas which property replaces a resource, for every type that has one.

    Upstream lists them for some types only.
    """
    plain = provisioners._property_recreation

    def recreation(resource_type: str, name: str) -> str:
        if schemas.is_known(resource_type):
            return schemas.recreation(resource_type, name)
        return str(plain(resource_type, name))

    def replacing(resource_type: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
        return not custom_resources.is_custom(resource_type) and schemas.replaces(
            resource_type, old, new
        )

    plain_sends_back = stacks._sends_back_failed_update

    def sends_back(resource_type: str) -> bool:
        return resource_type == schemas.INSTANCE or bool(plain_sends_back(resource_type))

    stacks._sends_back_failed_update = sends_back
    for module in (provisioners, stacks):
        module._property_recreation = recreation
        module._replacing_change = replacing


def _install_waits(world: World) -> None:
    """Scale the seconds of waits, record signals, and write the data without blanks.

    Upstream a wait cannot be cancelled, the data has a blank after each comma, and the physical id
    is not AWS's.
    """
    plain_wait = wait_conditions.wait_for
    handler = provisioners._RESOURCE_HANDLERS[WAIT]
    plain_create = handler["create"]

    def wait_for(token: str, stack_id: str, stack_name: str, *rest: Any) -> Any:
        *about, timeout = rest
        end = time.monotonic() + timeout * world.scale
        while True:
            try:
                left = min(end - time.monotonic(), WAIT_STEP)
                return plain_wait(token, stack_id, stack_name, *about, left)
            except TimeoutError:
                if time.monotonic() >= end:
                    raise
            if is_given_up(stack_name):
                raise RuntimeError(CANCELLED)

    def create(logical_id: str, properties: Any, stack_name: str) -> tuple[str, dict[str, str]]:
        _, attributes = plain_create(logical_id, properties, stack_name)
        data = json.loads(attributes["Data"])
        stack_id = cloudformation._stacks[stack_name]["StackId"]
        name = wait_id(stack_id, stack_name, logical_id)
        return name, {**attributes, "Data": json.dumps(data, separators=(",", ":"))}

    plain_deliver = wait_conditions.deliver_signal

    def deliver_signal(token: str, payload: dict[str, Any]) -> bool:
        taken = bool(plain_deliver(token, payload))
        if taken:
            kept = {name: str(payload[name]) for name in ("UniqueId", "Status", "Reason", "Data")}
            world.signals.append(Signal(handle=token, **kept))
        return taken

    wait_conditions.deliver_signal = deliver_signal
    wait_conditions.wait_for = wait_for
    handler["create"] = create
