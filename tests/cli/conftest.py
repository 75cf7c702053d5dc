"""An embedded AWS for the verbs of ``gpustation``, which run in the test's own process."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.loaders
import jsonschema
import pytest

from gpustation.cli.app import main
from localaws import LocalAws
from tests.support.assembly import WORKSTATION, assemble, minimal_bootstrap
from tests.support.cdk_cli import delete_stack
from tests.support.probe_stack import G_QUOTA, Stack
from tests.support.synthesis import ROOT

SCHEMAS = ROOT / "constructs/gpustation/cli/schemas"


@dataclass(frozen=True)
class Ran:
    """Result of a verb: exit status, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


Verb = Callable[..., Ran]


class Terminal:
    """Standard input of a person who types these lines, one for each question."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return f"{self.lines.pop(0)}\n"


class Pauses:
    """Stands for the module ``time`` where one waits between attempts; a pause takes no time.

    Args:
        paused: Is called in each pause with its number. Default: nothing happens.
    """

    def __init__(self, paused: Callable[[int], None] = lambda _: None) -> None:
        self.seconds: list[float] = []
        self._paused = paused

    def monotonic(self) -> float:
        return sum(self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._paused(len(self.seconds))


@functools.cache
def models() -> botocore.loaders.Loader:
    return botocore.loaders.create_loader()


@pytest.fixture(scope="session")
def server() -> Iterator[LocalAws]:
    with LocalAws() as aws:
        minimal_bootstrap(aws)
        yield aws


@pytest.fixture
def aws(server: LocalAws) -> LocalAws:
    """The account with every setting as in a new one, and room for three machines."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 12)
    return server


@pytest.fixture
def environment(
    aws: LocalAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Mapping[str, str]:
    """The account's credentials, and a home of its own."""
    # Each verb has a session of its own; reading the services' models took most of its time
    monkeypatch.setattr("botocore.session.create_loader", lambda _path=None: models())
    for name in [name for name in os.environ if name.startswith(("AWS_", "GPUSTATION_"))]:
        monkeypatch.delenv(name)
    for name, value in {**aws.exports, "XDG_STATE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)
    return os.environ


@pytest.fixture
def verb(environment: Mapping[str, str], capfd: pytest.CaptureFixture[str]) -> Verb:
    """Runs a verb; its JSON document must have the form of its schema."""

    def run(*words: str) -> Ran:
        capfd.readouterr()
        status = main([*words])
        ran = Ran(status, *capfd.readouterr())
        print(f"$ gpustation {' '.join(words)}\n{ran.out}{ran.err}exit status {status}")
        if "--json" in words and ran.out:
            jsonschema.validate(ran.document, schema_of(words))
        return ran

    return run


def schema_of(words: Sequence[str]) -> Any:
    """The schema of a verb, or of its subcommand if that has one of its own."""
    names = ["-".join(words[:2]), words[0]]
    paths = [SCHEMAS / f"{name}.json" for name in names]
    return json.loads(next(path for path in paths if path.exists()).read_text())


@pytest.fixture(scope="module")
def deployed(server: LocalAws) -> Iterator[Stack]:
    """The workstation, deployed once for a module by the plain API."""
    server.control.reset()
    server.control.set_quota(G_QUOTA, 12)
    stack = deploy(server, WORKSTATION)
    yield stack
    server.control.reset()
    delete_stack(server, stack.name)


def deploy(aws: LocalAws, stack_name: str, **settings: Any) -> Stack:
    """Deploy a workstation's template as a stack with this name."""
    assembly = assemble(**settings)
    assembly.publish(aws)
    stack = Stack(aws, stack_name)
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    return stack
