"""What may not be in an evidence file, because the files are public.

The rules go by the form of a text. They refuse too much rather than too little: a version of four
numbers (``9.1.0.70``) is refused as an address, because nothing tells them apart.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gpustation.console.shown_text import PRIVATE_KEY_MARKS, one_line

_UNSHOWN = re.compile(r"[^\n\t -~]")
_HEX_DIGESTS = (40, 64)
"""Lengths of digests in hex: commits, SHA-256."""
_ADDRESSES_OF_EVERYBODY = ("0.0.0.0", "127.0.0.1", "169.254.169.254", "::", "::1")
"""Loopback, any, and EC2's metadata service: the same on every machine."""
_OWN_TERMS = ("service", "timer", "socket", "target", "slice", "scope")
"""Ends of systemd units, of which ``user@1000.service`` looks like an e-mail address."""
_MOST_DIGITS = 10
"""Of a number. An account id may begin with 0, which a number loses."""


def _always(_: str) -> bool:
    return True


@dataclass(frozen=True)
class _Rule:
    """One kind of text that is refused.

    Attributes:
        name: What it is, for messages.
        stands_in: What replaces it.
        form: What it looks like.
        applies: False for text of this form that may stay.
        lead: Number of the group that stays in front of what is replaced; 0 if none does.
    """

    name: str
    stands_in: str
    form: re.Pattern[str]
    applies: Callable[[str], bool] = _always
    lead: int = 0

    def replace(self, text: str) -> str:
        return self.form.sub(self._replacement, text)

    def is_in(self, text: str) -> bool:
        return any(self.applies(match[0]) for match in self.form.finditer(text))

    def _replacement(self, match: re.Match[str]) -> str:
        if not self.applies(match[0]):
            return match[0]
        return (match[self.lead] if self.lead else "") + self.stands_in


def _is_mixed(run: str) -> bool:
    """Whether it has both cases, as random base64 of this length has; paths and hex do not."""
    return run != run.lower() and run != run.upper()


def _is_no_digest(run: str) -> bool:
    return len(run) not in _HEX_DIGESTS


def _is_no_hex_digest(run: str) -> bool:
    return _is_no_digest(run) or run.isdigit()


def _is_ipv4(run: str) -> bool:
    """Whether four numbers in a row can be an address, which has no leading zeros."""
    if run in _ADDRESSES_OF_EVERYBODY:
        return False
    numbers = run.split(".")
    fits = [str(int(number)) == number and int(number) < 256 for number in numbers]
    return any(all(fits[first : first + 4]) for first in range(len(fits) - 3))


def _is_ipv6(run: str) -> bool:
    try:
        address = ipaddress.IPv6Address(run)
    except ValueError:
        return False
    return str(address) not in _ADDRESSES_OF_EVERYBODY


def _is_email(text: str) -> bool:
    return text.rpartition(".")[2] not in _OWN_TERMS


_RULES = (
    _Rule(
        "a private key",
        "<private key>",
        re.compile(
            r"-----BEGIN [^-\n]*PRIVATE KEY.*?(?:-----END [^-\n]*PRIVATE KEY-----|\Z)|"
            + "|".join(f"{re.escape(mark)}[\\w+/=-]*" for mark in PRIVATE_KEY_MARKS),
            re.DOTALL,
        ),
    ),
    _Rule(
        "an SSH public key",
        "<public key>",
        re.compile(
            r"(?:(?:sk-)?(?:ssh|ecdsa)-[\w@.-]+[ \t]+)?AAAA[A-Za-z0-9+/]{20,}={0,2}"
            r"(?:[ \t]+[^\s\"']+@[^\s\"']+)?"
        ),
    ),
    _Rule("a JSON web token", "<token>", re.compile(r"eyJ[\w-]{8,}(?:\.[\w-]+){0,2}")),
    _Rule(
        "a signature of a signed address",
        "<signature>",
        re.compile(
            r"((?:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature)"
            r"(?:=|%3D))(?!<)[^\s&\"'<>]+",
            re.IGNORECASE,
        ),
        lead=1,
    ),
    _Rule(
        "a token",
        "<token>",
        re.compile(r"(token(?:=|%3D))(?!<)[^\s&\"'<>]+", re.IGNORECASE),
        lead=1,
    ),
    _Rule(
        "a token",
        "<token>",
        re.compile(r"gh[pousr]_\w{16,}|github_pat_\w+|glpat-[\w-]+|xox[a-z]-[\w-]+"),
    ),
    _Rule("a password", "<password>", re.compile(r"(://)[^/\s\"'@<>]+(?=@)"), lead=1),
    _Rule(
        "an access key id",
        "<access key>",
        re.compile(r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|APKA|AROA|ASCA)[A-Z0-9]{16,}"),
    ),
    _Rule(
        "a secret key or session token",
        "<secret key>",
        re.compile(r"[A-Za-z0-9+/]{40,}={0,2}"),
        applies=_is_mixed,
    ),
    _Rule(
        "a token",
        "<token>",
        re.compile(r"(?<![0-9a-f])[0-9a-f]{32,}(?![0-9a-f])"),
        applies=_is_no_digest,
    ),
    _Rule(
        "a person or session in an ARN",
        "<name>",
        re.compile(r"(:(?:user|assumed-role|federated-user)/)(?!<)[^\s\"',<>]+"),
        lead=1,
    ),
    _Rule(
        "a host name of EC2",
        "<host>",
        re.compile(r"(?:ec2|ip)-\d{1,3}(?:-\d{1,3}){3}(?:\.[a-z0-9-]+)*", re.IGNORECASE),
    ),
    _Rule(
        "an e-mail address",
        "<e-mail>",
        re.compile(r"(?<![\w.+%-])[\w.+%-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
        applies=_is_email,
    ),
    _Rule(
        "the id of a resource",
        "<id>",
        # 17 hex digits since 2016; 8 before, which default VPCs of old accounts still have
        re.compile(
            r"[a-z]{1,12}-[0-9a-f]{17,}|sir-[a-z0-9]{8}|"
            r"(?:vol|sg|subnet|vpc|ami|snap|eni|rtb|igw|acl|dopt|eipalloc)-[0-9a-f]{8}|"
            r"(?<![A-Za-z0-9])[ir]-[0-9a-f]{8}"
        ),
    ),
    _Rule(
        "a hardware address",
        "<address>",
        re.compile(r"(?:[0-9a-f]{2}:){5,}[0-9a-f]{2}", re.IGNORECASE),
    ),
    _Rule(
        "an IPv6 address",
        "<address>",
        # Also with its last part as an IPv4 address, of which nothing in front may stay
        re.compile(
            r"(?<![\w:])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:"
            r"(?:[0-9]+(?:\.[0-9]+){3}|[0-9A-Fa-f:]*)(?![\w:])"
        ),
        applies=_is_ipv6,
    ),
    _Rule(
        "an IPv4 address",
        "<address>",
        # A revision of an Ubuntu package ends like one: 580.126.09-0ubuntu0.24.04.1
        re.compile(r"(?<![0-9.])(?<!ubuntu)[0-9]+(?:\.[0-9]+){3,}"),
        applies=_is_ipv4,
    ),
    _Rule(
        "an account id",
        "<account>",
        re.compile(
            r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])|"
            r"[0-9]{12,}|(?<![0-9])[0-9]{4}(?:-[0-9]{4}){2}"
        ),
        applies=_is_no_hex_digest,
    ),
    _Rule(
        "the name of a person in a path",
        "<user>",
        re.compile(r"((?:/home/|/Users/|\\Users\\))(?!ubuntu(?![\w.-]))[\w.-]+"),
        lead=1,
    ),
)
"""In the order in which they are replaced: what may hold another kind comes before it.

An image's id is refused whoever owns the image: the id does not tell, and the name of a public
image (``ubuntu-noble-24.04-amd64-server-20261120``) says more.
"""
_SECRET_NAMES = re.compile(
    r"(?:(?:jupyter|session|security|access|api|aws|secret)[_ -]?)*"
    r"(?:token|password|secret|authorization)",
    re.IGNORECASE,
)
"""Keys whose text is a secret whatever it looks like."""
_PLACEHOLDER = re.compile(r"<[a-z -]+>")


def redact(text: str) -> str:
    """The text with a placeholder such as ``<account>`` for each part that is refused.

    Characters that are not printable ASCII become ``?``.
    """
    text = _UNSHOWN.sub("?", text)
    before = None
    while text != before:
        before = text
        for rule in _RULES:
            text = rule.replace(text)
    return text


def refusals(text: str) -> list[str]:
    """Why a file with this text may not be published; empty if it may.

    Each line has the place, what it is, and what to write. It never repeats what is refused.

    Args:
        text: Text of the file. If it is JSON, its keys, strings and numbers are examined, without
            their escapes.
    """
    try:
        document = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        lines = enumerate(text.split("\n"), start=1)
        found = [f"line {number}: {reason}" for number, line in lines for reason in _reasons(line)]
    else:
        found = [f"{place or 'the file'}: {reason}" for place, reason in _walk(document, "")]
    return [*dict.fromkeys(found)]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with all of its keys, also those that are there twice."""


def _walk(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every place in a JSON document that is refused, with the reason."""
    if isinstance(value, _Pairs):
        for key, below in value:
            here = f"{place}.{one_line(redact(key))}".lstrip(".")
            yield from ((f"the key {here}", reason) for reason in _reasons(key))
            if _SECRET_NAMES.fullmatch(key) and not _PLACEHOLDER.fullmatch(str(below)):
                yield here, f"{key.lower()} is the name of a secret; write <{key.lower()}>"
            yield from _walk(below, here)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _walk(below, f"{place}[{index}]")
    elif isinstance(value, str):
        yield from ((place, reason) for reason in _reasons(value))
    elif isinstance(value, (int, float)) and abs(value) >= 10**_MOST_DIGITS:
        yield (
            place,
            f"a number of more than {_MOST_DIGITS} digits, which may be an account id; "
            "write another unit, e.g. MiB",
        )


def _reasons(text: str) -> Iterator[str]:
    for rule in _RULES:
        if rule.is_in(text):
            yield f"{rule.name}, which no evidence file may have; write {rule.stands_in}"
    if _UNSHOWN.search(text):
        yield "a character that is not printable ASCII; write ?"
