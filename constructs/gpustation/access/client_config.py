"""OpenSSH client configuration for one machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from gpustation.access.own_key import USER

CONNECT_SECONDS = 15
ALIVE_SECONDS, ALIVE_COUNT = 5, 3
"""A dead connection ends after 15 seconds, so that a tunnel can be opened again."""


def host_block(
    host: str,
    *,
    address: str,
    alias: str,
    key: Path,
    known_hosts: Path,
    proxy: Sequence[str] = (),
    learn: bool = False,
) -> str:
    """A Host block; it uses one key and one file of known hosts, and asks nothing.

    Args:
        host: Name of the host on ssh's command line.
        address: Address to connect to; only a name if there is a proxy.
        alias: Name of the host in the file of known hosts.
        key: The private key.
        known_hosts: The file of known hosts.
        proxy: Command that connects its standard input and output to the machine. Default: none.
        learn: Write the key of an unknown host into the file. Only for a connection that AWS
            itself has authenticated. Default: refuse an unknown host.
    """
    options = {
        "HostName": address,
        "User": USER,
        "HostKeyAlias": alias,
        "IdentityFile": _quoted(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "UserKnownHostsFile": _quoted(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "accept-new" if learn else "yes",
        "UpdateHostKeys": "no",
        "HashKnownHosts": "no",
        "CheckHostIP": "no",
        "ForwardAgent": "no",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": str(ALIVE_SECONDS),
        "ServerAliveCountMax": str(ALIVE_COUNT),
        "LogLevel": "ERROR",
    }
    if proxy:
        # ssh expands percent signs, and then a shell reads the line
        options["ProxyCommand"] = shlex.join(proxy).replace("%", "%%")
    return f"Host {host}\n" + "".join(f"  {name} {value}\n" for name, value in options.items())


def _quoted(path: Path) -> str:
    """A path in ssh's configuration, where percent signs are expanded."""
    return '"' + str(path).replace("%", "%%").replace('"', '\\"') + '"'
