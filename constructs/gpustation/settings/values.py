"""Validators for the values of the settings.

Each function takes a value from CDK context (text from ``-c``, JSON types from ``cdk.json``) and
returns the typed value, or raises ``ValueError`` with "rule; remedy".
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Iterable

from gpustation.aws import partitions
from gpustation.catalog.gpu_types import RETIRED_FAMILIES, families_for, gpu_types
from gpustation.catalog.names import MAX_NAME, NAME
from gpustation.console.shown_text import looks_secret, shown

IMAGES = ("ubuntu-24.04", "ubuntu-22.04", "dlami", "baked")
"""Images by name. ``baked:<name>``, an AMI id and the name of an SSM parameter are valid too."""

MAX_DEPLOY_NAMES = 40
"""Most names for the deploy role: each adds two ARNs of 100 characters to its inline policies,
which are limited to 10,240 (IAM quotas)."""

MIN_IDLE_MINUTES = 10
MAX_IDLE_MINUTES = 1440
MAX_SCRATCH_GIB = 30_000
"""Above the largest instance store of a GPU type, 30,400 GB or 28,312 GiB (catalog)."""
MAX_BUDGET_USD = 100_000
MAX_EMAIL = 100
"""Longest address; SNS accepts 320."""
MIN_DISK_GIB = 30
"""Ubuntu (2), MXNet with CUDA (4.2 installed, 2.3 downloaded), driver (1), and free space."""

MAX_DISK_GIB = 65_536
"""Largest gp3 volume (EBS documentation, since September 2025)."""

MAX_PARAMETER_NAME = 900
"""Longest name of an SSM parameter: it is part of a physical id, which is limited to 1 KiB."""

MAX_PARAMETER_LEVELS = 15
"""Most levels of a parameter's name (Systems Manager, "Parameter name constraints")."""

MAX_NETWORKS = 60
"""Default quota of inbound rules per security group (Amazon VPC quotas)."""

MAX_MIRROR = 200
"""Longest URL of a mirror; it keeps the settings below the 4,096 characters of an SSM parameter."""

UNSET = ("", "none")
"""Values that mean "not given" for an optional setting."""

_AMI = re.compile(r"ami-([0-9a-f]{8}|[0-9a-f]{17})")
_PARAMETER = re.compile(r"(/[A-Za-z0-9_.-]+)+")
_MIRROR = re.compile(
    r"https?://(?=[A-Za-z0-9])[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~:%+-]+)*/?"
)
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")
_PUBLIC_PARAMETERS = "/aws/service/"
# After the region: us-east-1a, us-west-2-lax-1a (Local Zone), us-east-1-wl1-bos-wlz-1 (Wavelength)
_ZONE_IN_REGION = re.compile(r"[a-z]|-[a-z]+-\d{1,3}[a-z]|-wl\d{1,3}-[a-z]+-wlz-?\d{1,3}")
_PREFIX = re.compile(r"[0-9]|[12][0-9]|3[0-2]")
_ZONE_ID = re.compile(r"[a-z]+\d+-([a-z]+\d*-)*(az|wlz)\d+")


def text(value: object) -> str:
    """The value in the form of ``-c``: a string itself, any other JSON type as JSON."""
    if isinstance(value, str):
        return value.strip()
    try:
        return json.dumps(value, default=str)
    except (ValueError, RecursionError):  # a number with thousands of digits, a circular list
        return type(value).__name__


def boolean(value: object) -> bool:
    """``true`` or ``false``, as JSON or as text in any case."""
    given = text(value).lower()
    if given not in ("true", "false"):
        raise ValueError("must be true or false")
    return given == "true"


def whole_number(value: object, low: int, high: int, unit: str, reason: str) -> int:
    """An integer from ``low`` to ``high``, both inclusive."""
    given = text(value)
    if not re.fullmatch(r"-?[0-9]{1,9}", given) or not low <= int(given) <= high:
        number = f"whole number of {unit}" if unit else "whole number"
        raise ValueError(f"must be a {number} from {low} to {high}; {reason}")
    return int(given)


def one_of(value: object, choices: Iterable[str]) -> str:
    """One of the choices."""
    given = text(value)
    known = [str(choice) for choice in choices]
    if given not in known:
        raise ValueError(f"must be one of {', '.join(known)}{nearest(given, known)}")
    return given


def nearest(given: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` if one of the known words is similar, else an empty string."""
    match = difflib.get_close_matches(given.lower(), list(known), n=1, cutoff=0.75)
    return f"; did you mean {match[0]}?" if match else ""


def instance_type(value: object) -> str:
    """A GPU type of the catalog that at least one framework runs on."""
    given = text(value)
    gpu_type = gpu_types().get(given)
    if gpu_type is None:
        raise ValueError(_unknown_type(given))
    obstacle = gpu_type.obstacle("pytorch")
    if obstacle and gpu_type.obstacle("mxnet"):
        raise ValueError(f"{obstacle}; {types_remedy('mxnet')}")
    return given


def _unknown_type(given: str) -> str:
    family = given.partition(".")[0]
    if family in RETIRED_FAMILIES:
        gpu, successor = RETIRED_FAMILIES[family]
        return f"AWS has retired the family {family} ({gpu}); use {successor} instead"
    suggestion = nearest(given, gpu_types())
    if re.fullmatch(r"(?![gp])[a-z]+[0-9].*\..*", given) or not suggestion:
        return f"must be a GPU type that EC2 offers; {types_remedy('mxnet')}"
    return f"must be a GPU type that EC2 offers{suggestion}"


def types_remedy(framework: str) -> str:
    """Remedy with the families that the framework runs on."""
    return f"use a type of {', '.join(families_for(framework))}, such as g4dn.xlarge"


def image(value: object) -> str:
    """One of ``IMAGES``, ``baked:<name>``, an AMI id, or the name of an SSM parameter with one."""
    given = text(value)
    kind, colon, owner = given.partition(":")
    if kind == "baked" and colon:
        return f"baked:{name(owner)}"
    if given.startswith("/"):
        return _parameter_name(given)
    if given in IMAGES or _AMI.fullmatch(given):
        return given
    raise ValueError(
        f"must be one of {', '.join(IMAGES)}, baked:<name>, an AMI id (ami- and 8 or 17 of 0-9a-f) "
        f"or the name of an SSM parameter (/...){nearest(given, IMAGES)}"
    )


def mirror(value: object) -> str:
    """The URL of a folder on a web server, without credentials, as templates are readable."""
    given = text(value)
    if not _MIRROR.fullmatch(given) or len(given) > MAX_MIRROR:
        raise ValueError(
            "must be a URL https://HOST/FOLDER (or http://, as files are checked by their hash) of "
            f"A-Z a-z 0-9 . _ ~ : / % + -, at most {MAX_MIRROR} characters, without user, password "
            "and query"
        )
    return given.rstrip("/")


def email(value: object) -> str:
    """An e-mail address, which AWS asks to confirm before it gets anything else."""
    given = text(value)
    if not _EMAIL.fullmatch(given) or len(given) > MAX_EMAIL:
        raise ValueError(
            "must be an e-mail address such as me@example.com, of A-Z a-z 0-9 . _ % + - and one "
            f"@, at most {MAX_EMAIL} characters"
        )
    return given


def _parameter_name(given: str) -> str:
    """Checks the rules of PutParameter, including the names that AWS reserves."""
    if not _PARAMETER.fullmatch(given):
        raise ValueError(
            "must be the name of an SSM parameter: levels of A-Z a-z 0-9 _ . - with one slash "
            "before each, and none at the end"
        )
    if len(given) > MAX_PARAMETER_NAME or given.count("/") > MAX_PARAMETER_LEVELS:
        raise ValueError(
            f"must have at most {MAX_PARAMETER_NAME} characters and {MAX_PARAMETER_LEVELS} levels; "
            "use a shorter parameter name"
        )
    if given.lower().startswith("/aws/") and not given.startswith(_PUBLIC_PARAMETERS):
        raise ValueError(
            "must not begin with /aws/, which AWS reserves; public images are under "
            f"{_PUBLIC_PARAMETERS}..."
        )
    return given


def name(value: object) -> str:
    """The setting ``name``: the part after the hyphen in the names of the stacks."""
    given = text(value)
    if not NAME.fullmatch(given):
        raise ValueError(
            f"must be letters, digits and hyphens, begin with a letter and have at most {MAX_NAME} "
            "characters; use one such as anna"
        )
    return given


def names(value: object) -> tuple[str, ...]:
    """Names, separated by commas or as a JSON list; duplicates are dropped."""
    parts = value if isinstance(value, (list, tuple)) else text(value).split(",")
    given = [part for part in parts if part is not None and text(part) not in UNSET]
    unique = tuple(dict.fromkeys(name(part) for part in given))
    if len(unique) > MAX_DEPLOY_NAMES:
        raise ValueError(
            f"must be at most {MAX_DEPLOY_NAMES} names, the limit of a role's policy, got "
            f"{len(unique)}; use another account for the rest"
        )
    return unique


def availability_zone(value: object) -> str:
    """``auto`` or a name in the form of a zone's; the image choice checks that the zone exists."""
    given = text(value)
    if given == "auto":
        return given
    region = partitions.region_at_start(given)
    if region and _ZONE_IN_REGION.fullmatch(given.removeprefix(region)):
        return given
    if _ZONE_ID.fullmatch(given):
        raise ValueError("is the id of a zone; pass its name, such as us-east-1a, or auto")
    raise ValueError("must be auto or the name of a zone, such as us-east-1a")


def ssh_networks(value: object) -> tuple[str, ...]:
    """IPv4 networks in CIDR notation, separated by commas or as a JSON list, without duplicates."""
    parts = value if isinstance(value, (list, tuple)) else text(value).split(",")
    given = [part for part in map(text, (p for p in parts if p is not None)) if part not in UNSET]
    if looks_secret(" ".join(given)):  # the messages below would show a part of it
        raise ValueError("must be IPv4 networks such as 203.0.113.7/32, with commas between them")
    pieces = [piece for part in given for piece in re.findall(r"[^\s;,]+", part) or [part]]
    corrected = [_corrected_network(piece) for piece in pieces]
    networks = tuple(dict.fromkeys(corrected))
    if len(networks) > MAX_NETWORKS:
        raise ValueError(
            f"must be at most {MAX_NETWORKS} networks, the limit of a security group, got "
            f"{len(networks)}; merge adjacent networks"
        )
    if given != corrected:
        invalid = next(part for part in given if part not in corrected)
        raise ValueError(f"{_fault_of_network(invalid)}; did you mean {','.join(networks)}?")
    return networks


def _corrected_network(given: str) -> str:
    """A valid network unchanged; for an invalid one, the address in it with ``/32``."""
    address, _, prefix = given.partition("/")
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        raise ValueError(
            f'"{shown(given, 50)}" must be an IPv4 network such as 203.0.113.7/32; '
            "`curl https://checkip.amazonaws.com` prints your address"
        ) from None
    if version == 6:
        raise ValueError(
            "must be IPv4, as the VPC has no IPv6; pass your IPv4 address with /32, or use Session "
            "Manager without ssh_cidr"
        )
    if not _PREFIX.fullmatch(prefix):
        return f"{address}/32"
    network = str(ipaddress.ip_network(given, strict=False))
    return network if network == given else f"{address}/32"


def _fault_of_network(part: str) -> str:
    if re.search(r"[\s;,]", part):
        return "must have a comma between two networks"
    _, slash, prefix = part.partition("/")
    if not slash:
        return f'"{part}" has no prefix length'
    if not _PREFIX.fullmatch(prefix):
        return f'"{shown(part, 50)}" must have a prefix length from 0 to 32'
    network = ipaddress.ip_network(part, strict=False)
    return f'"{part}" has host bits set (its network is {network})'


def covers_the_world(networks: Iterable[str]) -> bool:
    """True if the networks together contain at least half of all IPv4 addresses."""
    merged = ipaddress.collapse_addresses(ipaddress.IPv4Network(n) for n in networks)
    return sum(network.num_addresses for network in merged) >= 2**31
