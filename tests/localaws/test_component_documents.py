"""The interpreter of component documents, on a host that only notes what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from localaws.image_builder.document import parse
from localaws.image_builder.execution import Execution, StepError
from localaws.machines.host import Output
from tests.support.image_stack import bash, document, step


@dataclass
class Host:
    """Answers scripts by their text."""

    answers: dict[str, list[Output]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def await_boot(self) -> None:
        raise AssertionError("the interpreter begins on a machine that is up")

    def bash(self, script: str, seconds: float) -> Output:
        self.done.append(script.strip())
        waiting = self.answers.get(script.strip(), [])
        return waiting.pop(0) if waiting else Output(0, f"out of {script}")

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content

    def fetch(self, bucket: str, key: str) -> bytes:
        return f"{bucket} {key}".encode()

    def reboot(self) -> None:
        self.done.append("(reboot)")


def run(host: Host, data: str, phase: str = "build") -> list[str]:
    log: list[str] = []
    Execution(host, log.append).run("probe", parse(data), phase)
    return log


def test_steps_run_in_order_and_their_output_is_logged() -> None:
    host = Host({"one\ntwo": [Output(0, "a\nb\n", "c\n")]})
    log = run(host, document(build=[bash("one", "two", name="first"), bash("three", name="last")]))
    assert host.done == ["one\ntwo", "three"]
    assert log[:5] == [
        "component probe, phase build, step first: ExecuteBash started",
        "Stdout: a",
        "Stdout: b",
        "Stderr: c",
        "component probe, phase build, step first: ExecuteBash completed",
    ]


def test_phase_that_a_component_lacks_is_nothing() -> None:
    assert run(Host(), document(test=[bash("one")])) == []


def test_files_are_fetched_and_written() -> None:
    host = Host()
    row = {"source": "s3://bucket/a/key.tar", "destination": "/var/tmp/x.tar", "overwrite": True}
    run(host, document(build=[step("S3Download", [row])]))
    assert host.files == {"/var/tmp/x.tar": b"bucket a/key.tar"}


def test_attempts_and_reboots_are_repeated() -> None:
    host = Host({"try": [Output(1), Output(194), Output(0)]})
    run(host, document(build=[bash("try", maxAttempts=2)]))
    assert host.done == ["try", "try", "(reboot)", "try"]


def test_failure_ends_the_phase_and_names_the_step() -> None:
    host = Host({"first": [Output(7, "", "why\n")]})
    data = document(build=[bash("first", name="a"), bash("next", name="b")])
    with pytest.raises(StepError, match="phase build, step a: exit status 7\nwhy"):
        run(host, data)
    assert host.done == ["first"]


def test_fails_when_inputs_lack_the_commands() -> None:
    with pytest.raises(StepError, match="ExecuteBash: 'commands'"):
        run(Host(), document(build=[step("ExecuteBash", {})]))
