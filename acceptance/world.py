"""Where a run takes place: AWS, or the embedded AWS of this project."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3

from gpustation.aws.session import make_session

ROOT = Path(__file__).resolve().parent.parent
AWS, EMBEDDED = "aws", "embedded"
_AWS_HOST = re.compile(r"([a-z0-9-]+\.)+(amazonaws\.com|amazonaws\.com\.cn|api\.aws)")
_ASKED = ("sts", "cloudformation", "ec2", "ssm")
NONE: Mapping[str, Callable[[str], None]] = {}


@dataclass(frozen=True)
class World:
    """Where a run takes place.

    Attributes:
        region: The region.
        environment: The environment of its commands.
        clock: Time in seconds since 1970, by which costs are counted.
        visitor: The address from which machines see this computer. Default: the commands find out.
        hooks: By the name of a part, what this world does to a machine, whose id it gets, while
            the part runs: an embedded AWS shortens a time, for example. Default: nothing.
    """

    region: str
    environment: Mapping[str, str]
    clock: Callable[[], float] = time.time
    visitor: str = ""
    hooks: Mapping[str, Callable[[str], None]] = field(default_factory=lambda: NONE)

    def session(self) -> boto3.Session:
        """A new session: the credentials may have been renewed meanwhile."""
        return make_session(self.region)

    @property
    def where(self) -> str:
        """``aws`` only if AWS itself answers; every other endpoint is an embedded one."""
        # boto3's overloads want a literal service name
        make: Any = self.session().client
        hosts = [urlparse(make(service).meta.endpoint_url).hostname or "" for service in _ASKED]
        return AWS if all(map(_AWS_HOST.fullmatch, hosts)) else EMBEDDED


def aws(region: str) -> World:
    """The account of the environment's credentials.

    Args:
        region: The region; empty: that of the environment.

    Raises:
        ValueError: There is none.
    """
    region = region or make_session("").region_name or ""
    if not region:
        raise ValueError("no region: set AWS_REGION or pass --region, e.g. us-east-1")
    return World(region, environment(os.environ, region))


def environment(base: Mapping[str, str], region: str) -> dict[str, str]:
    """Environment of the commands: the project's own programs first, and the region."""
    own = (str(Path(sys.executable).parent), str(ROOT / "node_modules" / ".bin"))
    return {
        **base,
        "PATH": os.pathsep.join((*own, base.get("PATH", os.defpath))),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "COLUMNS": "200",
    }
