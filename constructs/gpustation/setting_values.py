"""Reads one value of one setting: what is accepted, and the sentence that refuses the rest.

Each function takes the value as CDK's context holds it (text from ``-c``, JSON types from
``cdk.json``) and returns the typed value, or raises ``ValueError`` with "rule; remedy".
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable

from gpustation.handlers import gpu_catalog

IMAGES = ("ubuntu-22.04", "ubuntu-24.04", "dlami", "baked")
"""Images by name; an AMI id or the name of an SSM parameter is taken as well."""

MIN_DISK_GIB = 30
"""Ubuntu (2), MXNet with CUDA (4.2 installed, 2.3 downloaded), driver (1), swap-free head room."""

MAX_DISK_GIB = 65_536
"""Largest gp3 volume (EBS documentation, since September 2025)."""

_AMI = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
_SSM_NAME = re.compile(r"/[A-Za-z0-9_.\-/]{1,1010}")
_ZONE = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+(-[a-z]+-\d+)?[a-z]")
_ZONE_ID = re.compile(r"[a-z]+\d-(?:[a-z]+\d-)?az\d+")


def boolean(value: object) -> bool:
    """``true`` or ``false``, as JSON or as text in any case."""
    text = str(value).strip().lower()
    if not isinstance(value, (bool, str)) or text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def whole_number(value: object, low: int, high: int, unit: str, reason: str) -> int:
    """A whole number within ``low`` to ``high``, both included."""
    rule = (
        f"must be a whole number of {unit} from {low} to {high}"
        if unit
        else (f"must be a whole number from {low} to {high}")
    )
    text = str(value).strip()
    if isinstance(value, (bool, float)) or not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise ValueError(f"{rule}; {reason}")
    if not low <= int(text) <= high:
        raise ValueError(f"{rule}; {reason}")
    return int(text)


def one_of(value: object, choices: Iterable[str]) -> str:
    """One of a few words."""
    text = str(value).strip()
    known = list(choices)
    if text not in known:
        raise ValueError(f"must be one of {', '.join(known)}{nearest(text, known)}")
    return text


def nearest(text: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` when one of the known words is close, else nothing."""
    match = difflib.get_close_matches(text.lower(), list(known), n=1, cutoff=0.75)
    return f"; did you mean {match[0]}?" if match else ""


def instance_type(value: object) -> str:
    """An NVIDIA GPU type of the catalog that at least one framework runs on."""
    text = str(value).strip()
    found = gpu_catalog.gpu_types().get(text)
    if found is None:
        raise ValueError(_unknown_type(text))
    obstacle = found.obstacle("pytorch")
    if obstacle and found.obstacle("mxnet"):
        raise ValueError(f"{obstacle}; {take_one_of('mxnet')}")
    return text


def _unknown_type(text: str) -> str:
    family = text.partition(".")[0]
    if family in gpu_catalog.RETIRED_FAMILIES:
        gpu, successor = gpu_catalog.RETIRED_FAMILIES[family]
        return f"AWS has retired the family {family} ({gpu}); take {successor} instead"
    suggestion = nearest(text, gpu_catalog.gpu_types())
    if re.fullmatch(r"(?![gp])[a-z]+[0-9].*\..*", text) or not suggestion:
        return f"must be a GPU type that EC2 offers; {take_one_of('mxnet')}"
    return f"must be a GPU type that EC2 offers{suggestion}"


def take_one_of(framework: str) -> str:
    """The remedy that lists what the framework runs on."""
    return f"take a type of {', '.join(gpu_catalog.families_for(framework))}, such as g4dn.xlarge"


def image(value: object) -> str:
    """A name of ``IMAGES``, an AMI id, or the name of an SSM parameter that holds one."""
    text = str(value).strip()
    if text in IMAGES or _AMI.fullmatch(text) or _SSM_NAME.fullmatch(text):
        return text
    raise ValueError(
        f"must be one of {', '.join(IMAGES)}, an AMI id (ami- and 8 or 17 of 0-9a-f) or the name "
        f"of an SSM parameter (/...){nearest(text, IMAGES)}"
    )


def availability_zone(value: object) -> str:
    """``auto`` or something that looks like a zone's name; which zones exist only AWS knows."""
    text = str(value).strip()
    if text == "auto" or _ZONE.fullmatch(text):
        return text
    if _ZONE_ID.fullmatch(text):
        raise ValueError("is a zone's id; pass its name, such as us-east-1a, or auto")
    raise ValueError("must be auto or the name of a zone, such as us-east-1a")


def ssh_networks(value: object) -> tuple[str, ...]:
    """IPv4 networks in CIDR notation, by commas or as a JSON list; duplicates are dropped."""
    parts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    texts = [str(part).strip() for part in parts]
    return tuple(dict.fromkeys(_ssh_network(text) for text in texts if text not in ("", "none")))


def _ssh_network(text: str) -> str:
    address, slash, prefix = text.partition("/")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        shown = f'"{text}"' if text.isprintable() and len(text) <= 50 else "each part"
        raise ValueError(
            f"{shown} must be an IPv4 network such as 203.0.113.7/32; "
            "`curl https://checkip.amazonaws.com` prints your address"
        ) from None
    if version == 6:
        raise ValueError(
            f'"{text}" is IPv6, which the network of the workstation does not have; pass your '
            "IPv4 address with /32, or leave ssh_cidr out and use Session Manager"
        )
    if not slash:
        raise ValueError(f'"{text}" has no prefix length; did you mean {text}/32?')
    if not re.fullmatch(r"[0-9]|[12][0-9]|3[0-2]", prefix):
        raise ValueError(
            f'"{text}" must have a prefix length from 0 to 32; did you mean {address}/32?'
        )
    network = ipaddress.ip_network(text, strict=False)
    if str(network) != text:
        raise ValueError(
            f'"{text}" has address bits behind its prefix; did you mean {network} or {address}/32?'
        )
    return text


def covers_the_world(networks: Iterable[str]) -> bool:
    """True when the networks together leave no IPv4 address out, in one piece or in several."""
    merged = ipaddress.collapse_addresses(ipaddress.IPv4Network(n) for n in networks)
    return ipaddress.IPv4Network("0.0.0.0/0") in list(merged)
