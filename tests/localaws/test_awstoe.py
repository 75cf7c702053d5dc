"""The interpreter of component documents, on a host that only notes what it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from localaws.awstoe.actions import Output
from localaws.awstoe.document import parse
from localaws.awstoe.execution import Component, Execution, StepError
from tests.support.image_stack import bash, document, step


@dataclass
class Host:
    """Answers scripts by their text."""

    answers: dict[str, list[Output]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    def await_boot(self) -> None:
        raise AssertionError("the interpreter begins on a machine that is up")

    def bash(self, script: str, seconds: float | None) -> Output:
        self.done.append(script.strip())
        waiting = self.answers.get(script.strip(), [])
        return waiting.pop(0) if waiting else Output(0, f"out of {script}")

    def write(self, path: str, content: bytes) -> None:
        self.files[path] = content

    def fetch(self, bucket: str, key: str) -> bytes:
        return f"{bucket} {key}".encode()

    def reboot(self) -> None:
        self.done.append("(reboot)")


def run(host: Host, data: str, phase: str = "build", **given: str) -> list[str]:
    log: list[str] = []
    Execution(host, log.append).run(Component("probe", parse(data), given), phase)
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


def test_parameters_constants_and_outputs_are_filled_in() -> None:
    data = """
schemaVersion: 1.0
parameters:
  - Gpu: {type: string, default: T4}
  - Framework: {type: string}
constants:
  - Root: {type: string, value: /opt}
phases:
  - name: build
    steps:
      - name: fetch
        action: S3Download
        inputs:
          - {source: "s3://b/k/file.zip", destination: "{{ Root }}/"}
      - name: ask
        action: ExecuteBash
        inputs: {commands: ["ask {{Gpu}} {{ Framework }}"]}
      - name: use
        action: ExecuteBash
        inputs:
          commands:
            - use '{{ build.ask.outputs.stdout }}' {{ build.fetch.inputs[0].destination }}
"""
    host = Host({"ask T4 mxnet": [Output(0, "answer\n")]})
    run(host, data, Framework="mxnet")
    assert host.files == {"/opt/file.zip": b"b k/file.zip"}
    assert host.done == ["ask T4 mxnet", "use 'answer' /opt/"]


def test_attempts_and_reboots_are_repeated() -> None:
    host = Host({"try": [Output(1), Output(194), Output(0)]})
    run(host, document(build=[bash("try", maxAttempts=2), step("Reboot", {}, "again")]))
    assert host.done == ["try", "try", "(reboot)", "try", "(reboot)"]


@pytest.mark.parametrize(
    ("on_failure", "done", "fails"),
    [("Abort", 1, True), ("Continue", 2, True), ("Ignore", 2, False)],
)
def test_failure_aborts_goes_on_or_is_ignored(on_failure: str, done: int, fails: bool) -> None:
    host = Host({"first": [Output(7, "", "why\n")]})
    data = document(build=[bash("first", name="a", onFailure=on_failure), bash("next", name="b")])
    if fails:
        with pytest.raises(StepError, match="phase build, step a: exit status 7\nwhy"):
            run(host, data)
    else:
        run(host, data)
    assert len(host.done) == done


FAULTS: list[tuple[dict[str, Any], str]] = [
    (step("S3Download", [{"source": "https://b/k", "destination": "/x"}]), "only s3://BUCKET/KEY"),
    (bash("{{ build.none.outputs.stdout }}"), "there is no value for"),
    (step("ExecuteBash", {}), "ExecuteBash: 'commands'"),
]


@pytest.mark.parametrize(("wrong", "said"), FAULTS, ids=[said for _, said in FAULTS])
def test_fails_when_a_step_makes_no_sense(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(StepError, match=said):
        run(Host(), document(build=[wrong]))


def test_files_are_written_with_their_rights() -> None:
    host = Host()
    rows = [{"path": "/a b/c", "content": "x'y", "permissions": 0o640, "owner": "ubuntu"}]
    run(host, document(build=[step("CreateFile", rows)]))
    assert host.done[0].splitlines() == [
        "set -euo pipefail",
        "mkdir -p -- \"$(dirname -- '/a b/c')\"",
        "printf %s 'x'\"'\"'y' > '/a b/c'",
        "chmod -- 0640 '/a b/c'",
        "chown -- ubuntu '/a b/c'",
    ]
