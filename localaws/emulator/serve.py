"""The server: ministack's application with our services, resources and control paths around it."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from ministack import app as ministack_app
from ministack.services.cloudformation import wait_conditions

from localaws.boots import commands as booted_commands
from localaws.boots.fleet import BootedMachines
from localaws.boots.machine import BootError
from localaws.credentials import Credentials
from localaws.emulator import (
    cloudformation,
    contact,
    custom_resources,
    ec2_api,
    function_logs,
    function_sessions,
    services,
    web_identity,
)
from localaws.emulator.asgi import Application, Receive, Scope, Send, answer, read
from localaws.emulator.gate import CONTROL_PATH, Gate
from localaws.emulator.instances import Instances
from localaws.machines import Machines
from localaws.world import World

SILENCE_SECONDS = 60
"""Longer than what the agent on a machine waits for an answer."""
AnyMachines = Machines | BootedMachines
BOOTED_ONLY = (
    *("forward", "machine_run", "cut_power"),
    *("machine_environment", "machine_gpu", "machine_module"),
    *("machine_reaches", "silence_network", "image_disk"),
)


def make_machines(listener: socket.socket, state: Path, root: Path | None) -> AnyMachines:
    """Machines that boot from a root, or without one their records."""
    folder, endpoint = state / "machines", f"http://127.0.0.1:{listener.getsockname()[1]}"
    return BootedMachines(folder, endpoint, root) if root else Machines(folder, endpoint)


def serve(listener: socket.socket, machines: AnyMachines, credentials: Credentials) -> None:
    """Extend ministack and serve it on a socket that listens already."""
    contact.check()
    port = listener.getsockname()[1]
    world = World()
    fleet = Instances(world, machines)
    services.install(world)
    web_identity.install(credentials)
    ec2_api.install(fleet)
    cloudformation.install(world, fleet)
    function_logs.install(world)
    function_sessions.install()
    services.install_refusals(world)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.keep_alive_timeout = 75
    served = _application(Commands(world, machines), world)
    gate: Any = Gate(served, credentials, port, custom_resources.response_known)
    asyncio.run(hypercorn_serve(gate, config))


class Commands:
    """What `Control` calls: the world's own commands, and those about machines.

    Args:
        world: The account's state.
        machines: The account's machines.
    """

    def __init__(self, world: World, machines: AnyMachines) -> None:
        self._world = world
        self._machines = machines

    def run(self, command: str, arguments: dict[str, Any]) -> Any:
        """Carry out one command."""
        if command == "ready":
            return True
        if command == "reset" and isinstance(self._machines, BootedMachines):
            self._machines.reset()
        if command == "calls":
            return self._world.calls
        if command == "signals":
            return self._world.signals
        if command in ("console", "image_root", "machine_root", "machine_idle", "metadata_url"):
            return getattr(self, f"_{command}")(**arguments)
        if command in BOOTED_ONLY:
            if not isinstance(self._machines, BootedMachines):
                raise ValueError(f"{command} needs machines that boot: LocalAws(booted=True)")
            return getattr(booted_commands, command)(self._machines, **arguments)
        return getattr(self._world, command)(**arguments)

    def _console(self, instance_id: str) -> str:
        return self._machines.console(instance_id)

    def _image_root(self, image_id: str) -> str:
        return str(self._machines.image_root(image_id))

    def _machine_root(self, instance_id: str) -> str:
        return str(self._machines.get(instance_id).root)

    def _machine_idle(self, instance_id: str, seconds: float) -> bool:
        return self._machines.get(instance_id).wait_idle(seconds)

    def _metadata_url(self, instance_id: str) -> str:
        server = self._machines.get(instance_id).metadata
        if server is None:
            raise ValueError(f"instance {instance_id} does not run, so it has no metadata service")
        return server.url


def _application(commands: Commands, world: World) -> Application:
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
            arguments = json.loads(body) if body else {}
            command = scope["path"].removeprefix(CONTROL_PATH)
            # On a thread: machine_idle waits
            result = await asyncio.to_thread(commands.run, command, arguments)
            status, text = 200, json.dumps(result)
        except (AttributeError, TypeError, ValueError, BootError) as error:
            status, text = 400, str(error)
        await answer(send, status, text.encode())

    return application
