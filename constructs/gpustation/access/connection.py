"""A connection to a machine: trusted host keys, a route, a configuration file, a pushed key."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.access import own_key
from gpustation.access.client_config import host_block
from gpustation.access.host_keys import HostKey, keys_in_console
from gpustation.access.known_hosts import HostKeysChangedError, KnownHosts
from gpustation.access.programs import require_session_manager, require_ssh
from gpustation.access.report import ReportError, read_reports, report_of
from gpustation.access.route import Route, answers, may_be_open
from gpustation.aws.calls import DENIED, error_code
from gpustation.aws.parallel import Calls, DeadlineError
from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.console.state_folder import replace_file, state_folder
from gpustation.console.statuses import TIMED_OUT

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.machine import Machine

CALL_SECONDS = 60.0
REACH_SECONDS = 300.0
"""How long a machine that starts may take until its SSH server answers; a minute is usual."""
POLL_SECONDS = 3.0
NEW_KEYS = "gpustation ssh --new-host-keys"

Say = Callable[[str], None]
Confirm = Callable[[HostKeysChangedError], bool]


@dataclass(frozen=True)
class Connection:
    """What ``ssh`` needs to reach a machine.

    Attributes:
        machine: The machine.
        host: Its name for ssh.
        route: How ssh reaches it.
        config: File for ssh's option ``-F``.
        ssh: Path of ssh.
        push: Lets the key log in during the next 60 seconds; to be called right before ssh.
    """

    machine: Machine
    host: str
    route: Route
    config: Path
    ssh: str
    push: Callable[[], None]

    def command(self, options: Sequence[str] = (), remote: Sequence[str] = ()) -> list[str]:
        """The command line of ssh.

        Args:
            options: Further options of ssh.
            remote: Command on the machine. Default: a shell. As ssh does it, the words are joined
                by blanks, and a shell on the machine reads the line.
        """
        return [self.ssh, "-F", str(self.config), *options, "--", self.host, *remote]


def connect(
    session: boto3.Session,
    stack: str,
    machine: Machine,
    *,
    note: Say,
    confirm: Confirm = lambda _: False,
) -> Connection:
    """Prepare a connection to a running machine; does not connect yet.

    Args:
        session: The session.
        stack: Name of the workstation's stack.
        machine: Its machine, which runs.
        note: Prints a line about something unusual.
        confirm: Decides about changed host keys. Default: they are refused.

    Raises:
        CommandError: A program is missing, or the host keys have changed.
        ClientError: AWS refused a call that is necessary.
    """
    ssh, folder = require_ssh(), state_folder()
    key, known = own_key.own_key(folder), KnownHosts(folder / "known_hosts")
    ec2 = session.client("ec2")
    region = ec2.meta.region_name
    ssm = session.client("ssm")
    results: dict[str, Any] = Calls[Any](
        {
            "keys": lambda: report_of(machine, read_reports(ssm, machine.stack)),
            "open": lambda: _open(ec2, machine),
        },
        CALL_SECONDS,
    ).results()
    for result in results.values():
        if isinstance(result, DeadlineError):
            raise CommandError(f"AWS gave {result}", TIMED_OUT) from result
    trusted = _trust(known, ec2, machine, alias_of(stack, region), results["keys"], note, confirm)
    route = _route(results["open"], trusted)
    proxy: list[str] = []
    if route is Route.SESSION_MANAGER:
        proxy = session_command(require_session_manager(), region, machine.instance_id)
    config = folder / f"{machine.instance_id}.{route.name.lower()}.conf"
    text = host_block(
        stack,
        address=machine.address if route is Route.DIRECT else machine.instance_id,
        alias=machine.instance_id,
        key=key,
        known_hosts=known.path,
        proxy=proxy,
        learn=not trusted,
    )
    replace_file(config, text)
    connector = session.client("ec2-instance-connect")

    def push() -> None:
        own_key.push(connector, machine.instance_id, machine.zone, key)

    return Connection(machine, stack, route, config, ssh, push)


def await_reachable(session: boto3.Session, machine: Machine, note: Say) -> None:
    """Wait until SSH reaches a machine that was just started.

    Raises:
        CommandError: It did not in ``REACH_SECONDS`` (``TIMED_OUT``).
    """
    note(f"waiting until {machine.instance_id} can be reached, at most {REACH_SECONDS:g} s")
    ec2, ssm = session.client("ec2"), session.client("ssm")
    begin = time.monotonic()
    while True:
        if _open(ec2, machine) or _is_online(ssm, machine.instance_id):
            return
        if time.monotonic() - begin + POLL_SECONDS > REACH_SECONDS:
            raise CommandError(
                f"{machine.instance_id} runs, but neither its SSH server nor its Session Manager "
                f"agent answered within {REACH_SECONDS:g} s; `gpustation status` and the console "
                "output in EC2 show more",
                TIMED_OUT,
            )
        time.sleep(POLL_SECONDS)


def alias_of(stack: str, region: str) -> str:
    """Name of a workstation in the file of known hosts."""
    return f"{stack}.{region}"


def session_command(aws: str, region: str, instance_id: str) -> list[str]:
    """Command that connects its input and output to the machine's port 22, by Session Manager."""
    return [
        *(aws, "ssm", "start-session", "--region", region, "--target", instance_id),
        *("--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"),
    ]


def _route(is_open: bool | Exception, trusted: bool) -> Route:
    """The public address if it answers and the host key can be checked."""
    if isinstance(is_open, Exception):
        raise is_open
    return Route.DIRECT if is_open and trusted else Route.SESSION_MANAGER


def _open(ec2: EC2Client, machine: Machine) -> bool:
    """Whether port 22 of the machine is open to this computer."""
    if not machine.address:
        return False
    try:
        groups = ec2.describe_security_groups(GroupIds=[*machine.groups])["SecurityGroups"]
        rules = [rule for group in groups for rule in group.get("IpPermissions", [])]
    except ClientError as error:
        if error_code(error) not in DENIED:
            raise
        return answers(machine.address)
    return may_be_open(rules) and answers(machine.address)


def _is_online(ssm: Any, instance_id: str) -> bool:
    """Whether Session Manager's agent is connected; false if that may not be asked."""
    filters = [{"Key": "InstanceIds", "Values": [instance_id]}]
    try:
        rows = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    except ClientError:
        return False
    return any(row.get("PingStatus") == "Online" for row in rows)


def _trust(
    known: KnownHosts,
    ec2: EC2Client,
    machine: Machine,
    alias: str,
    report: Any,
    note: Say,
    confirm: Confirm,
) -> bool:
    """Whether the machine's host keys are known, from its report or its console's output."""
    keys = _reported(report, note)
    if not keys and not known.keys(machine.instance_id):
        keys = _console(ec2, machine.instance_id)
        if keys:
            note("its host keys are those that it printed on its console at the first boot")
    try:
        trusted = known.trust(machine.instance_id, alias, keys, confirm)
    except HostKeysChangedError as change:
        raise CommandError(changed(machine.instance_id, change)) from change
    if not trusted:
        note(
            f"{machine.instance_id} has not reported its host keys; the connection is made by "
            "Session Manager, where AWS proves that it is this machine"
        )
    return trusted


def changed(instance_id: str, change: HostKeysChangedError) -> str:
    """Why changed host keys are refused, and how to accept them."""
    return (
        f"{instance_id} reports other host keys than before, though it is the same machine: "
        f"{_shown(change.reported)}; pinned are {_shown(change.pinned)}. Nothing was sent to it. "
        "If you made new keys on it, or reset it with cloud-init, accept them with "
        f"`{NEW_KEYS}`; otherwise someone else may have changed them"
    )


def _shown(keys: Sequence[HostKey]) -> str:
    return ", ".join(key.fingerprint for key in keys)


def _reported(report: Any, note: Say) -> tuple[HostKey, ...]:
    if report is None:
        return ()
    if isinstance(report, ReportError):
        note(f"the machine's report cannot be used: {report}")
        return ()
    if isinstance(report, ClientError) and error_code(report) in DENIED:
        note(f"the machine's report cannot be read: {explain(report)}")
        return ()
    if isinstance(report, Exception):
        raise report
    keys: tuple[HostKey, ...] = report.host_keys
    return keys


def _console(ec2: EC2Client, instance_id: str) -> tuple[HostKey, ...]:
    """Host keys in the console's output; none if EC2 has none yet, or may not be asked."""
    for latest in (True, False):
        # Only newer types give the latest output at any time
        with contextlib.suppress(ClientError):
            answer = ec2.get_console_output(InstanceId=instance_id, Latest=latest)
            keys = keys_in_console(_without_escapes(answer.get("Output", "")))
            if keys:
                return keys
    return ()


def _without_escapes(text: str) -> str:
    """Console output without the colors that systemd prints, and with plain line ends."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
