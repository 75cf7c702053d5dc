"""The public IPv4 address by which AWS sees this computer."""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request

from gpustation.console.errors import CommandError
from gpustation.console.shown_text import visible
from gpustation.console.statuses import NO_ACCESS

URL = "https://checkip.amazonaws.com/"
"""AWS's own service; it answers with the address and a newline."""
SECONDS = 10.0
_LONGEST = 64


def own_address() -> str:
    """The address.

    Raises:
        CommandError: The service was not reached, or its answer is not a public IPv4 address.
    """
    try:
        with urllib.request.urlopen(URL, timeout=SECONDS) as answer:
            text = answer.read(_LONGEST).decode("ascii", "replace").strip()
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise CommandError(
            f"{URL} was not reached: {visible(str(error))}; pass your public IPv4 address with "
            "--address",
            NO_ACCESS,
        ) from error
    try:
        return checked(text)
    except ValueError as error:
        raise CommandError(
            f"{URL} answered {visible(text)}, and {error}; pass your public IPv4 address with "
            "--address"
        ) from error


def checked(text: str) -> str:
    """An address as a security group takes it.

    Raises:
        ValueError: It is not an IPv4 address, or one that the internet does not route.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("that is not an IPv4 address such as 203.0.113.7") from None
    if address.version != 4:
        raise ValueError("that is IPv6, which the workstation's network does not have")
    documentation = any(address in network for network in _DOCUMENTATION)
    if not (address.is_global or documentation):
        raise ValueError("that is a private address, which AWS does not see")
    return str(address)


_DOCUMENTATION = tuple(
    ipaddress.ip_network(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")
)
"""RFC 5737; harmless in a rule, and what examples and tests use."""
