"""How SSH gets to the machine: by its public address, or through Session Manager."""

from __future__ import annotations

import enum
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpustation.catalog.ports import SSH_PORT

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import IpPermissionOutputTypeDef

PROBE_SECONDS = 3.0
"""A closed security group drops packets, so a time-out tells; a round trip takes 0.5 s."""
_BANNER = b"SSH-"


class Route(enum.Enum):
    """The two routes, with what is said of them."""

    DIRECT = "its public address"
    SESSION_MANAGER = "Session Manager"


def may_be_open(rules: Iterable[IpPermissionOutputTypeDef]) -> bool:
    """Whether any inbound rule opens port 22 to anybody; without one there is nothing to try."""
    return any(
        rule.get("IpProtocol") == "-1"
        or (
            rule.get("IpProtocol") in ("tcp", "6")
            and rule.get("FromPort", 0) <= SSH_PORT <= rule.get("ToPort", 65535)
        )
        for rule in rules
    )


def answers(address: str, port: int = SSH_PORT, seconds: float = PROBE_SECONDS) -> bool:
    """Whether an SSH server answers at an address.

    Its first bytes are read, because some networks accept every connection themselves.
    """
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            connection.settimeout(seconds)
            return connection.recv(len(_BANNER), socket.MSG_WAITALL) == _BANNER
    except OSError:
        return False
