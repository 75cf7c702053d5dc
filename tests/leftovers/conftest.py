"""An embedded AWS of its own, which the checker finds as a person's environment names it."""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Callable, Iterator

import boto3
import pytest
from planting import Garden

from gpustation.leftovers import Result, find_leftovers
from localaws import LocalAws
from tests.support.made_once import aws_cli
from tests.support.probe_stack import G_QUOTA


@pytest.fixture(scope="session")
def server() -> Iterator[LocalAws]:
    with pytest.MonkeyPatch.context() as patch, LocalAws() as aws:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in aws.exports.items():
            patch.setenv(name, value)
        yield aws


@pytest.fixture
def aws(server: LocalAws) -> LocalAws:
    """Every knob as in a new account, but with room for machines."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 64)
    return server


@pytest.fixture
def garden(aws: LocalAws) -> Iterator[Garden]:
    made = Garden(aws)
    yield made
    aws.control.reset()
    made.clear()


@pytest.fixture(scope="session")
def session(server: LocalAws) -> boto3.session.Session:
    """One for all looks: reading the services' models takes most of a look."""
    return boto3.session.Session()


@pytest.fixture
def look(aws: LocalAws, session: boto3.session.Session) -> Callable[..., Result]:
    return functools.partial(find_leftovers, session)


@pytest.fixture(scope="session")
def paste(server: LocalAws) -> Callable[[str], None]:
    """Runs a command as pasted into a fresh shell with credentials."""

    def run(command: str) -> None:
        path = f"{aws_cli()}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-ec", command],
            env=server.environment | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    return run
