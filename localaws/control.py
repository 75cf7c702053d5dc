"""The knobs of the embedded AWS that no real one has, as typed methods over HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Fault = Literal["throttle", "deny", "missing", "silent", "expired", "unsettled"]
"""What a call answers: too many requests, access denied, or that the thing is not there; a signal
can also be met by silence, and CloudFormation say that the caller's credentials have expired.
`unsettled` is EC2 right after a change: an image or snapshot is not known yet, or still in use."""
Operation = Literal["create", "update", "delete"]
"""What CloudFormation does to a resource."""
CALL_SECONDS = 30
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy of the environment, which would get the secret."""


@dataclass(frozen=True)
class InstanceEvent:
    """One event in an instance's life."""

    instance_id: str
    event: Literal["launched", "stopped", "started", "terminated"]
    time: float
    instance_type: str
    """Type at that moment."""


@dataclass(frozen=True)
class CommandResult:
    """What a command in a machine left."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Signal:
    """One signal to a wait condition's handle; the names are CloudFormation's own."""

    handle: str
    UniqueId: str
    Status: str
    Reason: str
    Data: str


class Control:
    """Sets what the account allows, what fails, and how machines behave; reads what happened.

    Args:
        url: Address of the embedded AWS.
        secret: What opens it, which its owner has.
    """

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret

    def await_ready(self, seconds: float) -> None:
        """Wait until it serves.

        Raises:
            TimeoutError: It did not within these seconds.
            urllib.error.URLError: Nothing listens.
        """
        self._call("ready", seconds=seconds)

    def reset(self) -> None:
        """Every knob as it is in a new account; what exists stays, and what happened to it."""
        self._call("reset")

    def set_quota(self, code: str, value: float | None) -> None:
        """Applied value of an EC2 quota, in vCPUs; None: no applied value, the default counts."""
        self._call("set_quota", code=code, value=value)

    def set_default_quota(self, code: str, value: float | None) -> None:
        """AWS's default value of a quota; None: the quota does not exist at all."""
        self._call("set_default_quota", code=code, value=value)

    def fault(self, operation: str, kind: Fault | None, times: int | None = None) -> None:
        """Make calls of an operation fail.

        Args:
            operation: Its API name, e.g. `GetServiceQuota`, `DescribeInstances`, `GetParameter`,
                or IAM's name of it where several services have it: `logs:ListTagsForResource`;
                `Signal` for what is sent to a wait condition's handle: status 503, or with
                `silent` no answer at all. EC2, Systems Manager and Service Quotas know all kinds,
                the other services `throttle` and `deny`.
            kind: How it fails; None: it works again. `expired` is for CloudFormation's calls,
                `unsettled` for DescribeImages, DeregisterImage, DescribeSnapshots, DeleteSnapshot.
            times: How many calls fail before it works again. Default: all of them.
        """
        self._call("fault", operation=operation, kind=kind, times=times)

    def resource_fault(
        self, operation: Operation, logical_id: str, reason: str | None, times: int | None = None
    ) -> None:
        """Make a resource of any stack fail, before its service is asked for anything.

        Args:
            operation: What fails. A replacement is an `update`; a rollback and a clean-up `delete`
                and `update` too.
            logical_id: Its name in the template.
            reason: What the service says; None: it works again.
            times: How often it fails before it works again. Default: always.
        """
        self._call(
            "resource_fault",
            operation=operation,
            logical_id=logical_id,
            reason=reason,
            times=times,
        )

    def open_quota_request(self, code: str, value: float, status: str = "PENDING") -> str:
        """File a request for a quota as the person might have done before; answers its id."""
        return str(self._call("open_quota_request", code=code, value=value, status=status))

    def enforce_quota(self, on: bool) -> None:
        """Whether launch and start obey the quota. Default: they do."""
        self._call("enforce_quota", on=on)

    def set_offerings(self, instance_type: str, zones: Iterable[str] | None) -> None:
        """The zones that offer a type, by full name; None: AWS's own data again."""
        named = None if zones is None else sorted(zones)
        self._call("set_offerings", instance_type=instance_type, zones=named)

    def set_capacity(self, instance_type: str, available: bool) -> None:
        """Whether a launch or start finds capacity (else InsufficientInstanceCapacity)."""
        self._call("set_capacity", instance_type=instance_type, available=available)

    def add_image(
        self,
        image_id: str,
        *,
        architecture: str = "x86_64",
        root_device: str = "/dev/sda1",
        root_device_type: Literal["ebs", "instance-store"] = "ebs",
        size_gib: int = 8,
        name: str = "test image",
    ) -> None:
        """An image of another account, as DescribeImages shows it."""
        self._call(
            "add_image",
            image_id=image_id,
            architecture=architecture,
            root_device=root_device,
            root_device_type=root_device_type,
            size_gib=size_gib,
            name=name,
        )

    def set_parameter(self, name: str, value: str | None) -> None:
        """A public parameter (`/aws/service/...`, which no account may write); None: it is gone."""
        self._call("set_parameter", name=name, value=value)

    def machine_fault(self, faults: Mapping[str, Mapping[str, Any]] | None) -> None:
        """Faults of the stubbed commands, for boots from now on; see localaws/stubs.

        Args:
            faults: By command: `exit`, `stderr` and optionally `when`, a part of its arguments;
                `bash` stands for the scripts of an image's components. None: no faults.
        """
        self._call("machine_fault", faults=dict(faults or {}))

    def machine_silent(self, on: bool) -> None:
        """Whether machines start and then do nothing at all, for boots from now on."""
        self._call("machine_silent", on=on)

    def hold_logs(self, on: bool) -> None:
        """Whether the functions' logs are held back; what was held is delivered when it ends.

        AWS delivers them seconds after the run, so maybe after the group is gone.
        """
        self._call("hold_logs", on=on)

    def wait_scale(self, scale: float) -> None:
        """How many real seconds one second of a wait condition or ServiceTimeout lasts."""
        self._call("wait_scale", scale=scale)

    def history(self, instance_id: str | None = None) -> list[InstanceEvent]:
        """What happened to instances, oldest first; of all of them unless one is named."""
        return [InstanceEvent(**row) for row in self._call("history", instance_id=instance_id)]

    def console(self, instance_id: str) -> str:
        """Everything that a machine's user data printed, over all its boots."""
        return str(self._call("console", instance_id=instance_id))

    def machine_root(self, instance_id: str) -> str:
        """The folder that stands for a machine's root file system."""
        return str(self._call("machine_root", instance_id=instance_id))

    def image_root(self, image_id: str) -> str:
        """The folder with the files of an own image: what its machine wrote over what it had."""
        return str(self._call("image_root", image_id=image_id))

    def machine_idle(self, instance_id: str, seconds: float = 60) -> bool:
        """Wait until a machine's last boot has nothing left to run; False: it still runs."""
        return bool(self._call("machine_idle", instance_id=instance_id, seconds=seconds))

    def metadata_url(self, instance_id: str) -> str:
        """Where a running machine finds its metadata service."""
        return str(self._call("metadata_url", instance_id=instance_id))

    def machine_run(self, instance_id: str, *words: str, seconds: float = 60) -> CommandResult:
        """Run a command as root in a machine that boots."""
        answer = self._call("machine_run", instance_id=instance_id, words=words, seconds=seconds)
        return CommandResult(**answer)

    def forward(self, instance_id: str, port: int) -> int:
        """A port of this computer's loopback that leads to one of a booted machine's loopback."""
        return int(self._call("forward", instance_id=instance_id, port=port))

    def cut_power(self, instance_id: str) -> None:
        """End everything in a booted machine at once, and boot it again from the same disk."""
        self._call("cut_power", instance_id=instance_id)

    def machine_environment(self, variables: Mapping[str, str]) -> None:
        """Variables for the services of booted machines that are launched from now on."""
        self._call("machine_environment", variables=dict(variables))

    def machine_gpu(self, pretended: bool) -> None:
        """Whether booted machines, launched from now on, are told that they have no GPU.

        Args:
            pretended: They are not told: they install the real locks and verify on the GPU, which
                fails for want of one. Default in a new account: they are told.
        """
        self._call("machine_gpu", pretended=pretended)

    def machine_module(self, available: bool) -> None:
        """Whether the archive of booted machines has the driver's module for their kernel.

        Args:
            available: Without it, only a newer kernel brings the driver, after a reboot; for
                machines that are launched from now on. Default in a new account: it has.
        """
        self._call("machine_module", available=available)

    def image_disk(self, image_id: str, folder: str) -> None:
        """What booted machines find on their disk that are launched from another account's image.

        Args:
            image_id: The image, which `add_image` makes.
            folder: What a machine wrote over the root, as `image_root` shows it. Any number of
                machines may have it below their own disk; none writes into it.
        """
        self._call("image_disk", image_id=image_id, folder=folder)

    def machine_reaches(self, port: int | None) -> None:
        """A port of this computer's loopback that booted machines find on their own; None: none.

        Args:
            port: The same number there. Machines that boot from now on have it, beside those of
                earlier calls. Default in a new account: the embedded AWS alone.
        """
        self._call("machine_reaches", port=port)

    def silence_network(self, instance_id: str, on: bool) -> None:
        """Whether a booted machine's way out is silent: nothing is refused, nothing answers."""
        self._call("silence_network", instance_id=instance_id, on=on)

    def signals(self) -> list[Signal]:
        """Every signal that a wait condition's handle has taken, oldest first."""
        return [Signal(**row) for row in self._call("signals")]

    def calls(self) -> list[str]:
        """Names of the calls made so far to the services that can fail, in order: see `fault`."""
        return [str(name) for name in self._call("calls")]

    def _call(self, command: str, **arguments: Any) -> Any:
        request = urllib.request.Request(
            f"{self._url}/_localaws/{command}",
            json.dumps(arguments).encode(),
            {"Authorization": f"Bearer {self._secret}"},
            method="POST",
        )
        try:
            timeout = CALL_SECONDS + float(arguments.get("seconds", 0))
            with DIRECT.open(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise ValueError(error.read().decode()) from None
