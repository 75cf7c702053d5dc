"""The server: ministack's application, extended by services, resources and the controls."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from ministack import app as ministack_app
from ministack.services.cloudformation import wait_conditions

from localaws.account import access, function_logs, ministack_names, services
from localaws.account.asgi import Application, Receive, Scope, Send, answer, read
from localaws.account.cloudformation import custom_resources
from localaws.account.cloudformation import engine as cloudformation
from localaws.account.ec2 import api as ec2_api
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.spot_interruptions import Interruptions
from localaws.account.ec2.visitors import Crowd
from localaws.account.events import function_clock, mails
from localaws.account.events.invocations import Invocations
from localaws.account.events.rules import Deliveries
from localaws.account.gate import CONTROL_PATH, Gate
from localaws.account.iam import (
    ec2_authorization,
    function_sessions,
    parameter_authorization,
    signatures,
    simulation,
)
from localaws.account.scheduler import resource_types as schedule_types
from localaws.account.scheduler import service as scheduler
from localaws.account.scheduler.runs import Runs
from localaws.account.scheduler.targets import Targets
from localaws.account.world import World
from localaws.control import Control
from localaws.control import answer as answer_control
from localaws.credentials import Credentials
from localaws.machines.booted.machines import BootedMachines
from localaws.machines.booted.namespaces import BootError
from localaws.machines.records import RecordMachines

SILENCE_SECONDS = 60
"""Longer than what the agent on a machine waits for an answer."""
AnyMachines = RecordMachines | BootedMachines


def make_machines(listener: socket.socket, state: Path, root: Path | None) -> AnyMachines:
    """Machines that boot from a root, or without a root records."""
    folder, endpoint = state / "machines", f"http://127.0.0.1:{listener.getsockname()[1]}"
    return BootedMachines(folder, endpoint, root) if root else RecordMachines(folder, endpoint)


def serve(listener: socket.socket, machines: AnyMachines, credentials: Credentials) -> None:
    """Extend ministack and serve it on a socket that listens already."""
    ministack_names.check()
    port = listener.getsockname()[1]
    world = World()
    instances = Instances(world, machines)
    access.install(instances)
    services.install(world)
    ec2_api.install(instances)
    cloudformation.install(world, instances)
    function_logs.install()
    function_sessions.install()
    simulation.install()
    signatures.install(world.time.datetime)
    ec2_authorization.install()
    parameter_authorization.install()
    deliveries = _install_events(world, f"http://127.0.0.1:{port}")
    services.install_refusals(world)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    control = Control(
        world,
        machines,
        function_sessions.open_session,
        Crowd(),
        deliveries.release,
        mails.confirm,
        Interruptions(instances),
    )
    served = _application(control, world)
    gate: Any = Gate(served, credentials, port, custom_resources.response_known, world.clock)
    asyncio.run(hypercorn_serve(gate, config))


def _install_events(world: World, endpoint: str) -> Deliveries:
    """Extend EventBridge and its Scheduler, Lambda's asynchronous invocations and SNS."""
    function_clock.install(world.time)
    invocations = Invocations(world.time)
    invocations.install()
    deliveries = Deliveries(world, invocations)
    deliveries.install()
    runs = Runs(world, Targets(endpoint))
    scheduler.install(world, runs)
    schedule_types.install(runs)
    mails.install(world)
    return deliveries


def _application(control: Control, world: World) -> Application:
    """Ministack's application, with the control paths and planned faults before it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(wait_conditions.SIGNAL_PATH):
            kind = world.take_fault("Signal")
            if kind == "silent":
                await asyncio.sleep(SILENCE_SECONDS)
            if kind:
                await answer(send, 503, b"Slow Down")
                return
        if scope["type"] != "http" or not scope["path"].startswith(CONTROL_PATH):
            await ministack_app.app(scope, receive, send)
            return
        body = await read(receive)
        try:
            command = scope["path"].removeprefix(CONTROL_PATH)
            # On a thread: machine_idle waits
            status, text = 200, await asyncio.to_thread(answer_control, control, command, body)
        except (TypeError, ValueError, BootError) as error:
            status, text = 400, str(error).encode()
        await answer(send, status, text)

    return application
