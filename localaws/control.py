"""Controls of the embedded AWS that no real AWS has.

`Control` does the work, in the child process. Its owner has a `RemoteControl`, which offers the
same methods and sends each call to the child.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_origin, get_type_hints

from localaws.machines.booted.machines import BootedMachines
from localaws.reports import (
    CapacityReservation,
    CommandResult,
    EventFault,
    Fault,
    InstanceEvent,
    Mail,
    Operation,
    ScheduleRun,
    Signal,
    Use,
)

if TYPE_CHECKING:
    from localaws.account.world import World
    from localaws.machines.records import RecordMachines

CALL_SECONDS = 90
"""How long a call may take, beside the seconds that it waits for something: dying machines do."""
MOST_SECONDS = 3600.0
"""How long a call may take at all: `advance` may be given years."""
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment would get the secret."""


class Spot(Protocol):
    """What EC2 does to spot machines by itself."""

    def interrupt(self, instance_id: str, notice: float) -> None:
        """Take a machine's capacity back after a notice."""

    def resume(self, instance_id: str) -> None:
        """Start a machine that was interrupted."""

    def reconsider(self) -> None:
        """Launch what could not be launched before."""


class Control:
    """Sets what the account allows, what fails and how machines behave; reads what happened.

    Args:
        world: The account's state.
        machines: The account's machines.
        open_session: Returns the credentials of a new session of a role, as environment variables.
        crowd: Adds instances of other people to the account.
        release: Delivers the events that are held back.
        confirm: Confirms the e-mail subscriptions of an address.
        spot: Interrupts spot machines.
    """

    def __init__(
        self,
        world: World,
        machines: RecordMachines | BootedMachines,
        open_session: Callable[[str], dict[str, str]],
        crowd: Callable[[str, int], None],
        release: Callable[[], None],
        confirm: Callable[[str], None],
        spot: Spot,
    ) -> None:
        self._spot = spot
        self._release = release
        self._confirm = confirm
        self._world = world
        self._machines = machines
        self._open_session = open_session
        self._crowd = crowd

    def await_ready(self, seconds: float) -> None:
        """Wait until the child answers.

        Raises:
            TimeoutError: It did not within these seconds.
            urllib.error.URLError: Nothing listens.
        """

    def reset(self) -> None:
        """Set everything as in a new account; resources, histories and the clock stay."""
        self._world.reset()
        if isinstance(self._machines, BootedMachines):
            self._machines.reset()

    def set_quota(self, code: str, value: float | None) -> None:
        """Applied value of an EC2 quota, in vCPUs; None: the default applies."""
        _set(self._world.applied, code, value)

    def set_default_quota(self, code: str, value: float | None) -> None:
        """AWS's default value of a quota, in vCPUs; None: the quota does not exist."""
        _set(self._world.defaults, code, value)

    def fault(
        self,
        operation: str,
        kind: Fault | None,
        times: int | None = None,
        region: str | None = None,
    ) -> None:
        """Make calls of an operation fail.

        Args:
            operation: Its API name, e.g. `GetServiceQuota`, `DescribeInstances`, `GetParameter`,
                or IAM's name of it where several services have it: `logs:ListTagsForResource`.
                `Signal` stands for what is sent to a wait condition's handle: status 503, or
                with `silent` no answer. EC2, Systems Manager and Service Quotas know all kinds
                (`forbid` and `unsupported`: EC2 alone), the other services `throttle` and `deny`.
                `*`: every operation of those three, CloudFormation and the price list.
            kind: How it fails; None: it works again. `expired` is for CloudFormation's calls,
                `unsettled` for DescribeImages, DeregisterImage, DescribeSnapshots, DeleteSnapshot.
            times: How many calls fail before it works again. Default: all of them.
            region: Only calls to this region fail. Default: to all.
        """
        key = f"{region}/{operation}" if region else operation
        _set(self._world.faults, key, None if kind is None else [kind, times])

    def resource_fault(
        self, operation: Operation, logical_id: str, reason: str | None, times: int | None = None
    ) -> None:
        """Make a resource of any stack fail before its service is called.

        Args:
            operation: What fails. A replacement is an `update`; a rollback and a clean-up are
                `delete` and `update` too.
            logical_id: Its name in the template.
            reason: The service's message; None: it works again.
            times: How often it fails before it works again. Default: always.
        """
        planned = None if reason is None else [reason, times]
        _set(self._world.resource_faults, f"{operation} {logical_id}", planned)

    def enforce_quota(self, on: bool) -> None:
        """Whether launches and starts obey the quota. Default: they do."""
        self._world.enforce = on

    def page_instances(self, rows: int) -> None:
        """How many instances DescribeInstances returns at once; default: 1000, as EC2 at most."""
        self._world.instances_per_page = rows

    def crowd(self, instance_type: str, count: int) -> None:
        """Run so many instances of a type of other people, instead of those of a call before.

        They are records without machines, and exist whatever the quota is.
        """
        self._crowd(instance_type, count)

    def set_offerings(self, instance_type: str, zones: Iterable[str] | None) -> None:
        """The zones that offer a type, by full name; None: AWS's own data again."""
        _set(self._world.offerings, instance_type, None if zones is None else sorted(zones))

    def set_capacity(
        self,
        instance_type: str | None,
        available: bool,
        *,
        zone: str | None = None,
        use: Use | None = None,
    ) -> None:
        """Whether a launch, a start or a reservation finds capacity.

        Else it is refused with InsufficientInstanceCapacity. The last call that speaks of a type,
        zone and use counts: "none, but in one zone" is two calls.

        Args:
            instance_type: None: every type.
            available: Whether there is.
            zone: Name of the zone. Default: every zone.
            use: What it is for. Default: everything. With `reservation` or `launch` alone, one of
                them is refused where the other is not.
        """
        self._world.set_capacity(available, use, instance_type, zone)
        self._spot.reconsider()

    def interrupt(self, instance_id: str, notice: float = 120) -> None:
        """Let EC2 take the capacity of a running spot machine back.

        Its metadata service says so at once, at `/latest/meta-data/spot/instance-action`, and so
        does an event on the default bus. Then EC2 stops or terminates it, as its request says.

        Args:
            instance_id: The machine.
            notice: After how many seconds of the clock. Default: 120, as AWS. 0: at once.

        Raises:
            ValueError: It is no spot machine, or does not run.
        """
        self._spot.interrupt(instance_id, notice)

    def resume_spot(self, instance_id: str) -> None:
        """Let EC2 start a spot machine that it stopped, as when it has capacity again.

        Raises:
            ValueError: EC2 did not stop it, or there is no room for it.
        """
        self._spot.resume(instance_id)

    def spot_delays(self, *, stop: float = 1, service: float = 0) -> None:
        """How late spot requests follow, in seconds of the clock; how long AWS takes is not known.

        Args:
            stop: From a person's stop until the request is `disabled` and the machine can be
                started again.
            service: Until EC2 does what a request asks for: launches another machine for a
                persistent request whose machine was terminated, or terminates a stopped machine
                whose request was cancelled. 0: before the call is answered.
        """
        self._world.spot_stop_seconds = stop
        self._world.spot_service_seconds = service

    def set_placement_score(self, zone: str, score: int | None) -> None:
        """The spot placement score of a zone, 1 to 10; None: a made-up low one again."""
        _set(self._world.placement_scores, zone, score)

    def take_slots(self, times: int | None = None) -> None:
        """Let other people's machines take the slots of new open reservations.

        They do so as soon as the reservation's creation is answered: a launch that follows finds
        none, and needs capacity and quota as any other.

        Args:
            times: For how many reservations. Default: all, until `reset`.
        """
        self._world.thefts["slots"] = [True, times]

    def late_reservations(self, seconds: float) -> None:
        """After how many seconds of the clock DescribeCapacityReservations shows a change.

        A new reservation is not listed until then. AWS says that it may take five minutes.
        """
        self._world.reservation_lag = seconds

    def reservations(self) -> list[CapacityReservation]:
        """Every capacity reservation of every region, ended ones too, oldest first."""
        now = self._world.clock()
        return [
            CapacityReservation(
                reservation_id=row.id,
                instance_type=row.instance_type,
                zone=row.zone,
                match=row.match,
                state=row.state,
                total=row.total,
                available=row.available,
                created=row.created,
                ended=row.ended,
                instances=sorted(row.inside),
                unused_seconds=row.unused(now),
            )
            for row in self._world.reservations.values()
        ]

    def set_region(self, region: str, enabled: bool | None) -> None:
        """Whether the account has enabled a region that must be enabled; None: as a new account.

        Only DescribeRegions shows it: calls to such a region are answered nevertheless.
        """
        _set(self._world.opted_in, region, enabled)

    def reserve_capacity(
        self,
        reservation_id: str,
        instance_type: str,
        zone: str,
        *,
        total: int = 1,
        available: int = 1,
        match: Literal["open", "targeted"] = "open",
        owner: str = "",
    ) -> None:
        """Add an active capacity reservation, whatever quota and capacity allow.

        Launches use it and the quota counts it, as one that a call made. Machines that run already
        do not use it: `available` says what is used. `reset` removes it.

        Args:
            reservation_id: Its id.
            instance_type: Its type, for Linux.
            zone: Name of its zone.
            total: Number of instances that it has room for.
            available: How many of them are not used.
            match: Which instances are launched into it.
            owner: Account that owns it and shares it. Default: this account.
        """
        self._world.add_reservation(
            available,
            id=reservation_id,
            owner=owner,
            instance_type=instance_type,
            zone=zone,
            total=total,
            match=match,
        )

    def decide_request(self, request_id: str, status: str, limit: float | None = None) -> None:
        """Decide a request to raise a quota.

        Args:
            request_id: Its id.
            status: Service Quotas' status, e.g. `APPROVED` or `DENIED`.
            limit: Applied value of the quota from now on. Default: unchanged.
        """
        (request,) = [one for one in self._world.requests if one.id == request_id]
        request.status = status
        if limit is not None:
            self._world.applied[request.code] = limit

    def add_image(
        self,
        image_id: str,
        *,
        architecture: str = "x86_64",
        root_device: str = "/dev/sda1",
        root_device_type: Literal["ebs", "instance-store"] = "ebs",
        size_gib: int = 8,
        name: str = "test image",
        platform: str = "Linux/UNIX",
    ) -> None:
        """Add an image of another account, as DescribeImages shows it.

        `platform` is its `PlatformDetails`, which a capacity reservation must have too.
        """
        self._world.add_image(
            image_id=image_id,
            architecture=architecture,
            root_device=root_device,
            root_device_type=root_device_type,
            size_gib=size_gib,
            name=name,
            platform=platform,
        )

    def wait_scale(self, scale: float) -> None:
        """How many real seconds one second of a wait condition or ServiceTimeout lasts."""
        self._world.scale = scale

    def role_session(self, role: str) -> dict[str, str]:
        """Credentials of a new session of a role, whoever its trust policy names.

        Args:
            role: The role's name.

        Returns:
            The environment variables that the AWS SDKs read.
        """
        return self._open_session(role)

    def history(self, instance_id: str | None = None) -> list[InstanceEvent]:
        """Events of an instance or a capacity reservation, or of all instances, oldest first."""
        if instance_id is not None:
            return [e for e in self._world.events if e.instance_id == instance_id]
        return [e for e in self._world.events if e.instance_id.startswith("i-")]

    def clock(self) -> float:
        """The account's time in seconds since 1970: real time, plus what `advance` added."""
        return self._world.clock()

    def advance(self, seconds: float) -> None:
        """Move the clock forward and run what becomes due, in the order of the times.

        The clock stands at its own time for each: schedules, the next attempts of what failed and
        late events with a delay. It returns when everything that it started has ended, functions
        and what those caused included. With 0 it only waits for what is at work.

        Args:
            seconds: How far; 0 or more.
        """
        self._world.time.advance(seconds)

    def event_fault(
        self, kind: EventFault | None, times: int | None = None, delay: float | None = None
    ) -> None:
        """Make the delivery of events to the targets of rules fail.

        Args:
            kind: How it fails; None: it works again. `late`: held until `deliver_events`.
            times: How many deliveries fail before it works again. Default: all of them.
            delay: Late events come by themselves after so many seconds of the clock. Default:
                never.
        """
        _set(self._world.event_faults, "delivery", None if kind is None else [kind, times])
        self._world.event_delay = delay

    def deliver_events(self) -> None:
        """Deliver the late events in their order, and wait until what they started has ended."""
        self._release()
        self._world.time.settle()

    def schedule_runs(self) -> list[ScheduleRun]:
        """Every attempt of every schedule, oldest first."""
        return self._world.schedule_runs

    def mails(self) -> list[Mail]:
        """What topics sent to confirmed e-mail addresses, oldest first."""
        return self._world.mails

    def confirm(self, address: str) -> None:
        """Confirm the pending e-mail subscriptions of an address, as its owner does.

        Raises:
            ValueError: There is none.
        """
        self._confirm(address)

    def signals(self) -> list[Signal]:
        """Every signal that a wait condition's handle has taken, oldest first."""
        return self._world.signals

    def calls(self) -> list[str]:
        """Operations called so far of the services that can fail, in order: see `fault`."""
        return self._world.calls

    def machine_fault(self, faults: Mapping[str, Mapping[str, Any]] | None) -> None:
        """Make stubbed commands fail, in boots from now on; see the folder `stubs`.

        Args:
            faults: By command: `exit`, `stderr` and optionally `when`, a part of its arguments;
                `bash` stands for the scripts of an image's components. None: no faults.
        """
        self._world.machine_faults = dict(faults or {})

    def machine_silent(self, on: bool) -> None:
        """Whether machines start and then do nothing, in boots from now on."""
        self._world.silent = on

    def console(self, instance_id: str) -> str:
        """Everything that a machine's user data printed, over all its boots."""
        return self._machines.console(instance_id)

    def machine_root(self, instance_id: str) -> str:
        """The folder that stands for a machine's root file system."""
        return str(self._machines.get(instance_id).root)

    def image_root(self, image_id: str) -> str:
        """The folder with an own image's files: what its machine wrote over what it had."""
        return str(self._machines.image_root(image_id))

    def machine_idle(self, instance_id: str, seconds: float = 60) -> bool:
        """Wait until a machine's last boot has nothing left to run; False: it still runs."""
        return self._machines.get(instance_id).wait_idle(seconds)

    def metadata_url(self, instance_id: str) -> str:
        """Address of a running machine's metadata service."""
        server = self._machines.get(instance_id).metadata
        if server is None:
            raise ValueError(f"instance {instance_id} does not run, so it has no metadata service")
        return server.url

    def machine_run(self, instance_id: str, *words: str, seconds: float = 60) -> CommandResult:
        """Run a command as root in a machine that boots.

        Raises:
            ValueError: It did not end in time; the message has what it printed.
        """
        inside = self._booted("machine_run").get(instance_id).namespaces
        try:
            done = inside.run(*words, seconds=seconds)
        except subprocess.TimeoutExpired as error:
            # Bytes, although text was asked for
            printed = b"".join(each for each in (error.stdout, error.stderr) if each)
            raise ValueError(
                f"{' '.join(words)[:200]} did not end within {seconds:.0f} s on {instance_id}; "
                f"it printed {printed[-1000:].decode(errors='replace')!r}"
            ) from None
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def forward(self, instance_id: str, port: int) -> int:
        """Forward a port of this computer's loopback to one of a machine's; returns the port."""
        return self._booted("forward").forward(instance_id, port)

    def cut_power(self, instance_id: str) -> None:
        """End everything in a booted machine at once, and boot it again from the same disk."""
        self._booted("cut_power").cut_power(instance_id)

    def machine_environment(self, variables: Mapping[str, str]) -> None:
        """Set variables for the services of machines that are launched from now on."""
        self._booted("machine_environment").environment = dict(variables)

    def machine_gpu(self, pretended: bool) -> None:
        """Whether machines that are launched from now on pretend to have a GPU.

        Args:
            pretended: They install the real locks and verify on the GPU, which fails as there is
                none. Default in a new account: their scripts know that there is none.
        """
        self._booted("machine_gpu").gpu = pretended

    def machine_module(self, available: bool) -> None:
        """Whether the archive has the driver's module for the kernel of machines.

        Args:
            available: Without it only a newer kernel brings the driver, after a reboot; for
                machines that are launched from now on. Default in a new account: it has.
        """
        self._booted("machine_module").module = available

    def machine_reaches(self, port: int | None) -> None:
        """Make a port of this computer's loopback one of the machines' loopback; None: none.

        Args:
            port: The same number there. Machines that boot from now on have it, beside those of
                earlier calls. Default in a new account: the embedded AWS alone.
        """
        machines = self._booted("machine_reaches")
        machines.reachable = [] if port is None else [*machines.reachable, port]

    def image_disk(self, image_id: str, folder: str) -> None:
        """Set the disk of machines that are launched from another account's image.

        Args:
            image_id: The image, which `add_image` adds.
            folder: What a machine wrote over the root, as `image_root` returns it. Any number of
                machines may have it below their own disk; none writes into it.
        """
        self._booted("image_disk").lend(image_id, Path(folder))

    def silence_network(self, instance_id: str, on: bool) -> None:
        """Whether a booted machine's way out is silent: nothing is refused, nothing answers."""
        machine = self._booted("silence_network").get(instance_id)
        os.kill(machine.namespaces.slirp_pid, signal.SIGSTOP if on else signal.SIGCONT)

    def _booted(self, command: str) -> BootedMachines:
        if not isinstance(self._machines, BootedMachines):
            raise ValueError(f"{command} needs machines that boot: LocalAws(booted=True)")
        return self._machines


class RemoteControl:
    """Has the methods of `Control`, and sends each call to the child.

    Args:
        url: Address of the embedded AWS.
        secret: The secret that the child requires.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret

    def __getattr__(self, command: str) -> Callable[..., Any]:
        method = getattr(Control, command)
        result = get_type_hints(method)["return"]

        def call(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(method).bind(self, *args, **kwargs)
            given.apply_defaults()
            seconds = CALL_SECONDS + float(given.arguments.get("seconds", 0))
            seconds = min(seconds, MOST_SECONDS)
            return _typed(result, self._send(command, [args, kwargs], seconds))

        return call

    def _send(self, command: str, arguments: list[Any], seconds: float) -> Any:
        request = urllib.request.Request(
            f"{self._url}/_localaws/{command}",
            json.dumps(arguments, default=list).encode(),
            {"Authorization": f"Bearer {self._secret}"},
            method="POST",
        )
        try:
            with NO_PROXY.open(request, timeout=seconds) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None


def answer(control: Control, command: str, body: bytes) -> bytes:
    """Carry out a call of a `RemoteControl`.

    Raises:
        ValueError: There is no such command, or it refuses the arguments.
    """
    method = None if command.startswith("_") else getattr(control, command, None)
    if method is None:
        raise ValueError(f"there is no command {command}; see localaws/control.py")
    args, kwargs = json.loads(body)
    return json.dumps(method(*args, **kwargs), default=dataclasses.asdict).encode()


def _typed(hint: Any, value: Any) -> Any:
    """A result of JSON in its declared type."""
    if dataclasses.is_dataclass(hint):
        make: Any = hint
        return make(**value)
    if get_origin(hint) is list:
        (item,) = get_args(hint)
        return [_typed(item, each) for each in value]
    return value


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    """Set an entry; None removes it."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
