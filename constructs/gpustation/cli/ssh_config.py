"""``gpustation ssh-config``: makes the workstation a host of a person's own ssh and editor."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named, selected
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    from gpustation.access.person_config import PersonConfig

EPILOG = epilog("gpustation ssh-config", FINDING)


def ssh_config(
    remove: Annotated[bool, typer.Option("--remove", help="Remove the host again.")] = False,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your ssh configuration. Default: ~/.ssh/config."),
    ] = None,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make the workstation a host of your own ssh, scp and editor, under its stack's name.

    Adds one Include line to ~/.ssh/config, after showing it. Starts no machine.
    """
    stack = named(name, stack)

    def work() -> int:
        from gpustation.access.connection import alias_of
        from gpustation.access.person_config import PersonConfig
        from gpustation.aws.session import make_session
        from gpustation.catalog.names import WORKSTATION
        from gpustation.console.errors import CommandError
        from gpustation.console.state_folder import state_folder

        session = make_session(region)
        place = session.client("cloudformation").meta.region_name
        main = file or Path.home() / ".ssh" / "config"
        config = PersonConfig(main, state_folder() / "hosts.d")
        try:
            if remove:
                # The stack may be gone, so it is not asked for
                host = stack or WORKSTATION
                changed = config.remove(alias_of(host, place))
            else:
                host = selected(session.client("cloudformation"), stack).stack
                _add(config, host, place, yes)
                changed = True
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        if as_json:
            facts = {"host": host, "file": str(config.file_of(alias_of(host, place)))}
            say_json({**facts, "included_by": str(main), "removed": remove and changed})
        elif remove:
            say(f"{host} is removed" if changed else f"there was no host {host}; nothing changed")
        else:
            say(f"ssh {host}    works now, and so do scp, rsync and editors that use ssh")
        return 0 if changed else FINDING

    run("ssh-config", work)


def _add(config: PersonConfig, host: str, region: str, yes: bool) -> None:
    from gpustation.access import own_key
    from gpustation.access.client_config import host_block
    from gpustation.access.connection import alias_of
    from gpustation.access.programs import require_ssh
    from gpustation.console.state_folder import state_folder

    require_ssh()
    folder, alias = state_folder(), alias_of(host, region)
    block = host_block(
        f"{host} {alias}",
        address=alias,
        alias=alias,
        key=own_key.own_key(folder),
        known_hosts=folder / "known_hosts",
        proxy=[
            *_profile(),
            *(sys.executable, "-m", "gpustation", "ssh-proxy"),
            *("--stack", host, "--region", region),
        ],
    )
    if not config.is_included:
        warn(f"{config.main} gets this line at its beginning:\n  {config.include}")
        confirm("Write it?", yes)
    config.add(alias, block)


def _profile() -> list[str]:
    """The profile that is used now, which an editor's own environment may lack."""
    profile = os.environ.get("AWS_PROFILE")
    return ["env", f"AWS_PROFILE={profile}"] if profile else []
