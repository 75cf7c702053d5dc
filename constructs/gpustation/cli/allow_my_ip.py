"""``gpustation allow-my-ip``: opens port 22 to this computer's address for some hours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, duration, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.shown_text import visible

if TYPE_CHECKING:
    from datetime import datetime

    from mypy_boto3_ec2 import EC2Client

    from gpustation.aws.own_rules import Group, OwnRule

EPILOG = epilog("gpustation allow-my-ip --for 2h")
NOTHING_ELSE = (
    "nothing else removes it: `gpustation allow-my-ip --remove` does, and after that time so does "
    "any later `gpustation allow-my-ip` or `gpustation status`, or the daily stop"
)


def public_address(text: str) -> str:
    """An IPv4 address that AWS can see."""
    from gpustation.access.own_address import checked

    try:
        return checked(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: {error}") from error


def allow_my_ip(
    minutes: Annotated[
        int,
        typer.Option(
            "--for", parser=duration, metavar="TIME", help="How long: hours or minutes, to 24h."
        ),
    ] = "8h",  # type: ignore[assignment]
    address: Annotated[
        str | None,
        typer.Option(
            parser=public_address,
            metavar="IPV4",
            help="Another address. Default: this computer's, from checkip.amazonaws.com.",
        ),
    ] = None,
    save: Annotated[
        bool,
        typer.Option(
            "--save", help="Write the address as ssh_cidr into cdk.json instead, for the deploy."
        ),
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove all rules of this verb instead.")
    ] = False,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Open port 22 of the machine to this computer's address for some hours.

    It adds one rule to the stack's security group, and never touches those of the stack.
    """
    stack = named(name, stack)
    if save and remove:
        raise typer.BadParameter("--save and --remove are alternatives; pass one of them")

    def work() -> int:
        from gpustation.access.own_address import own_address

        if save:
            return _save(address or own_address(), yes, as_json)

        from datetime import datetime, timezone

        from gpustation.access.own_rules import read_group
        from gpustation.aws.session import make_session
        from gpustation.workstation.machine import machine_of

        session = make_session(region)
        ec2 = session.client("ec2")
        workstation = selected(session.client("cloudformation"), stack)
        machine = machine_of(ec2, workstation)
        group = read_group(ec2, workstation.stack, machine)
        now = datetime.now(timezone.utc)
        outdated = [rule for rule in group.own if remove or rule.expired(now)]
        _remove(ec2, outdated)
        kept = [rule for rule in group.own if rule not in outdated]
        added, already = None, ""
        if not remove:
            wanted = address or own_address()
            already = group.admits(wanted)
            added = None if already else _add(ec2, group, wanted, minutes, kept, now)
        if as_json:
            say_json(
                {
                    "stack": workstation.stack,
                    "security_group": group.group_id,
                    "added": _row(added) if added else None,
                    "allowed_already_by": already or None,
                    "removed": [_row(rule) for rule in outdated],
                    "others": [
                        _row(one) for one in kept if not added or one.address != added.address
                    ],
                }
            )
            return 0
        if added:
            say(f"port 22 is open to {added}; {NOTHING_ELSE}")
        elif already:
            say(f"port 22 is open to you by another rule, for {already}; nothing was added")
        elif not outdated:
            say("there is no rule of this verb; nothing was removed")
        return 0

    run("allow-my-ip", work)


def _add(
    ec2: EC2Client,
    group: Group,
    address: str,
    minutes: int,
    known: list[OwnRule],
    now: datetime,
) -> OwnRule:
    from datetime import timedelta

    from gpustation.access.own_rules import add
    from gpustation.aws.own_rules import OwnRule

    until = (now + timedelta(minutes=minutes)).replace(second=0, microsecond=0)
    rule = OwnRule(group.group_id, address, until)
    add(ec2, rule, known)
    for other in known:
        if other.address != address:
            warn(f"port 22 is also open to {other}; --remove removes it too")
    return rule


def _remove(ec2: EC2Client, rules: list[OwnRule]) -> None:
    from gpustation.aws.own_rules import remove

    for rule in rules:
        remove(ec2, rule)
        warn(f"removed the rule for {rule}")


def _row(rule: OwnRule) -> dict[str, object]:
    return {"address": rule.address, "until": rule.until}


def _save(address: str, yes: bool, as_json: bool) -> int:
    """Write the setting, after showing the change."""
    from gpustation.settings.cdk_json import Change

    change = Change.read(Path.cwd())
    old, new = change.context.get("ssh_cidr"), f"{address}/32"
    change = change.with_values({"ssh_cidr": new})
    if change.is_needed:
        for line in change.diff():
            warn(visible(line))
        confirm(f"Write this to {change.path}?", yes)
        change.write()
    if as_json:
        say_json({"file": str(change.path), "old": old, "new": new})
    else:
        say(
            f"{change.path.name} has it; the next `cdk deploy` opens port 22 to this address, and "
            "closes it to those before. Remove a rule of `gpustation allow-my-ip` for the same "
            "address first (--remove): AWS may refuse a rule that exists"
        )
    return 0
