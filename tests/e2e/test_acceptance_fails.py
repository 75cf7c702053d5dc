"""A part of an acceptance run fails: logs are collected, everything is deleted, the next step told.

Each part really runs, with the commands that it runs on AWS, and fails because of what the embedded
AWS or its machine does. Only the machine before it is made faster, by CloudFormation's API.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance import clean_up, collect, earlier, performance, run_file
from acceptance.estimate import Quota, estimate
from acceptance.meter import Meter, Rates
from acceptance.parts import later
from acceptance.parts.table import PARTS
from acceptance.run import Run
from acceptance.run_file import RunFile
from acceptance.world import World, environment
from gpustation.catalog.gpu_types import require_type
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.support.assembly import assemble
from tests.support.cdk_cli import SHORT_WAITS, delete_stack
from tests.support.probe_stack import Stack

NAME = "acceptance-0000feed"
STACK, IMAGE = f"GpuWorkstation-{NAME}", f"GpuImage-{NAME}"
G_SPOT = "L-3819A6DF"
G4DN, LARGER = require_type("g4dn.xlarge"), require_type("g4dn.2xlarge")
RATES = Rates(lambda name: {"g4dn.xlarge": 0.526, "g4dn.2xlarge": 0.752}[name], 0.08)
BY_NAME = {part.name: part for part in PARTS}
Inject = Callable[[LocalAws, "Attempt"], None]


@dataclasses.dataclass
class Attempt:
    """A run of one part, and what it said."""

    run: Run
    said: list[str] = dataclasses.field(default_factory=list)
    asked: list[str] = dataclasses.field(default_factory=list)
    answer: bool = True
    keep: bool = False

    def ask(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer

    def perform(self, part: str) -> int:
        parts = (BY_NAME[part],)
        planned = estimate(parts, G4DN, LARGER, RATES, Quota(8, 8))
        options = performance.Options("g4dn.xlarge", "mxnet", 2.0, parts, keep=self.keep)
        self.run.file.write()
        return performance.Performance(
            options, self.run, planned, self.said.append, self.ask
        ).perform()

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    @property
    def evidence(self) -> dict[str, Any]:
        (path,) = self.run.logs.glob("20*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def attempt(aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    aws.control.set_quota(G_SPOT, 8)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(clean_up, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(later, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(later, "IDLE_PATIENCE", 5.0)
    for name, value in aws.exports.items():
        monkeypatch.setenv(name, value)
    pace = {"NODE_OPTIONS": f'--require="{SHORT_WAITS}"', "CDK_VALIDATION": "false"}
    world = World(
        aws.region, environment(aws.environment | pace, aws.region), clock=aws.control.clock
    )
    file = RunFile(NAME, aws.account, aws.region, aws.control.clock())
    logs = tmp_path / "logs"
    logs.mkdir()
    with run_file.held(NAME) as lock:
        assert lock is not None
        yield Attempt(
            Run(
                world=world,
                file=file,
                gpu_type=G4DN,
                larger=LARGER,
                framework="mxnet",
                meter=Meter(RATES, world.clock, 2.0),
                settings={"instance_type": "g4dn.xlarge", "framework": "mxnet"},
                logs=logs,
                lock=lock,
                notes={"record": True},
            )
        )
    aws.control.reset()
    delete_stack(aws, STACK)
    delete_stack(aws, IMAGE)


@pytest.fixture
def machine(aws: LocalAws, attempt: Attempt) -> Stack:
    """The run's machine, as the part ``deploy`` leaves it."""
    assembly = assemble(name=NAME, instance_type="g4dn.xlarge", framework="mxnet")
    assembly.publish(aws)
    stack = Stack(aws, STACK)
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    attempt.run.file.stacks[STACK] = [stack.stack_id]
    return stack


def logical_id(start: str, kind: str) -> str:
    template = assemble(name=NAME, instance_type="g4dn.xlarge", framework="mxnet").template
    (found,) = (
        name
        for name, row in template["Resources"].items()
        if row["Type"] == kind and name.startswith(start)
    )
    return str(found)


def answers(aws: LocalAws, attempt: Attempt) -> None:
    """The machine is taken for one that answers."""
    attempt.run.notes["record"] = False


def fault(operation: str) -> Inject:
    return lambda aws, attempt: aws.control.fault(operation, "deny")


def machine_fault(aws: LocalAws, attempt: Attempt) -> None:
    aws.control.machine_fault({"apt-get": {"exit": 100, "stderr": "E: no such package"}})


def component_fault(aws: LocalAws, attempt: Attempt) -> None:
    aws.control.machine_fault({"bash": {"exit": 1, "stderr": "the component fails"}})


def in_stack(operation: Any, start: str, kind: str, times: int | None = None) -> Inject:
    def inject(aws: LocalAws, attempt: Attempt) -> None:
        aws.control.resource_fault(operation, logical_id(start, kind), "no, it said", times)

    return inject


def no_spot(aws: LocalAws, attempt: Attempt) -> None:
    aws.control.set_capacity(None, False, use="spot")


INSTANCE = ("Generation1", "AWS::EC2::Instance")
ROWS: list[tuple[str, Inject, str]] = [
    ("power", fault("StopInstances"), "not authorized"),
    ("type-change", in_stack("update", *INSTANCE), "no, it said"),
    ("doctor", fault("DescribeRegions"), "doctor: region is unknown"),
    ("compute", answers, "gpustation ssh"),
    ("reach", answers, "gpustation ssh"),
    ("packages", answers, "gpustation ssh"),
    ("bench", answers, "gpustation bench"),
    ("save-image", fault("CreateImage"), "not authorized"),
    ("idle-stop", answers, "it did not stop in"),
    ("spot", no_spot, "capacity"),
    ("framework", machine_fault, "exit status 1"),
    ("baked-start", lambda aws, attempt: None, "baked"),
    ("bake-image", component_fault, "cdk deploy"),
    ("destroy", in_stack("delete", "", "AWS::EC2::VPC", 1), "gpustation down"),
    ("destroy", in_stack("delete", "QuotaCheck", "Custom::QuotaCheck", 1), "gpustation down"),
    ("leftovers", fault("DescribeVolumes"), "not everything could be checked"),
]


@pytest.mark.tier("all")
@pytest.mark.parametrize(("part", "inject", "why"), ROWS, ids=[row[0] for row in ROWS])
def test_what_fails_is_told_and_everything_is_deleted(
    aws: LocalAws, attempt: Attempt, machine: Stack, part: str, inject: Inject, why: str
) -> None:
    inject(aws, attempt)
    status = attempt.perform(part)
    print(attempt.text)
    assert status == 1
    assert f"FAILED  {part}: " in attempt.text and why in attempt.text
    assert "Everything that the run made is deleted" in attempt.text
    assert f"Next: mend the cause, then `make acceptance ARGS='--only {part}'`" in attempt.text
    assert [row["verdict"] for row in attempt.evidence["parts"]] == ["failed"]
    assert attempt.evidence["where"] == "embedded"
    logs = {path.name.partition("-")[0] for path in attempt.run.logs.iterdir()}
    # The functions' log groups go with the first deletion
    assert ({"events"} if part == "destroy" else {"events", "log"}) <= logs
    assert attempt.run.file.over
    aws.control.reset()
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_spot_request_that_stays_is_ended_with_the_machine_that_it_launches(
    aws: LocalAws, attempt: Attempt
) -> None:
    """CloudFormation goes on after the failure, and EC2 launches another machine."""
    assembly = assemble(name=NAME, instance_type="g4dn.xlarge", framework="mxnet", spot=True)
    assembly.publish(aws)
    stack = Stack(aws, STACK)
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    attempt.run.file.stacks[STACK] = [stack.stack_id]
    (request,) = assembly.graph.of_type("Custom::SpotRequest")
    aws.control.resource_fault("delete", request, "no, it said", 1)
    launched = len(aws.control.history())
    assert attempt.perform("destroy") == 1
    print(attempt.text)
    assert "Everything that the run made is deleted" in attempt.text
    events = [one.event for one in aws.control.history()][launched:]
    assert events == ["terminated", "launched", "terminated"]
    assert aws.inventory() == []


def gone(*_: object) -> Any:
    """As code that reads an answer which nobody has seen yet."""
    return {}["gone"]


@pytest.mark.tier("all")
def test_a_fault_of_the_program_itself_leaves_nothing(
    aws: LocalAws, attempt: Attempt, machine: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a part, and in what collects the logs after it."""
    monkeypatch.setitem(BY_NAME, "power", dataclasses.replace(BY_NAME["power"], work=gone))
    monkeypatch.setattr(collect, "_console", gone)
    assert attempt.perform("power") == 1
    print(attempt.text)
    assert "FAILED  power: a fault of this program: KeyError: 'gone'" in attempt.text
    assert "not collected: machine: 'gone'" in attempt.text
    assert "Everything that the run made is deleted" in attempt.text
    assert "Traceback" in (attempt.run.logs / "traceback-power.txt").read_text()
    assert [row["verdict"] for row in attempt.evidence["parts"]] == ["failed"]
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_fault_of_the_deletion_is_told_and_the_rest_is_deleted(
    aws: LocalAws, attempt: Attempt, machine: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clean_up, "_remove_images", gone)
    fault("StopInstances")(aws, attempt)
    assert attempt.perform("power") == 1
    told = "NOT DELETED  saved images: a fault of this program: KeyError: 'gone'"
    assert told in attempt.text and "ARGS=--clean-up" in attempt.text
    assert not attempt.run.file.over
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_creation_that_fails_leaves_nothing(aws: LocalAws, attempt: Attempt) -> None:
    machine_fault(aws, attempt)
    assert attempt.perform("deploy") == 1
    assert "FAILED  deploy: `gpustation up" in attempt.text
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_a_refusal_for_another_reason_is_a_failure(aws: LocalAws, attempt: Attempt) -> None:
    # The quota check does not come to its answer
    aws.control.fault("DescribeInstances", "deny", times=40)
    aws.control.resource_fault("create", logical_id("QuotaCheck", "AWS::Logs::LogGroup"), "no")
    assert attempt.perform("refused-quota") == 1
    aws.control.reset()
    assert aws.inventory() == []


@pytest.mark.tier("all")
def test_what_is_kept_is_named_and_deleted_later(
    aws: LocalAws, attempt: Attempt, machine: Stack
) -> None:
    fault("StopInstances")(aws, attempt)
    attempt.answer = False
    assert attempt.perform("power") == 1
    assert attempt.asked == ["Delete everything that the run made now?"]
    assert f"Kept: {STACK}. It is billed." in attempt.text
    assert machine.describe()["StackStatus"] == "CREATE_COMPLETE"
    (file,) = run_file.read_all()
    assert file.kept and not file.over

    # The lock of the run is held here, as by a command of it that is still at work
    with pytest.raises(Exception, match="is at work, or a command of it still is"):
        earlier.clean_up_only(attempt.run.world, attempt.said.append, lambda _: True)


@pytest.mark.tier("all")
def test_another_stack_of_that_name_is_left_alone(
    aws: LocalAws, attempt: Attempt, machine: Stack
) -> None:
    attempt.run.file.stacks[STACK] = [machine.stack_id.replace("/GpuW", "/x/GpuW")]
    problems = clean_up.clean_up(attempt.run.file, attempt.run.world, attempt.said.append)
    assert problems == [
        f"{STACK}: a stack of this name exists that the run did not make; it was not touched"
    ]
    assert machine.describe()["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.tier("all")
def test_credentials_that_expire_leave_a_file_with_which_the_next_run_cleans_up(
    aws: LocalAws, attempt: Attempt, machine: Stack
) -> None:
    aws.control.fault("DescribeStacks", "expired")
    assert attempt.perform("power") == 1
    assert "the credentials have expired; log in again" in attempt.text
    assert f"NOT DELETED  {STACK}" in attempt.text and "ARGS=--clean-up" in attempt.text
    assert not attempt.run.file.over
    aws.control.fault("DescribeStacks", None)
    assert clean_up.clean_up(attempt.run.file, attempt.run.world, attempt.said.append) == []
    assert aws.inventory() == []


@pytest.mark.tier("all")
@pytest.mark.moves_the_clock
def test_the_limit_ends_a_run_while_the_deletion_is_paid_for(
    aws: LocalAws, attempt: Attempt, machine: Stack
) -> None:
    attempt.run.observe()
    aws.control.advance(3.5 * 3600)
    aws.control.set_quota(G_QUOTA, 8)
    attempt.run.observe()
    assert 1.8 < attempt.run.meter.spent < 2.0
    assert attempt.perform("power") == 1
    assert "USD are spent; the part would cost" in attempt.text
    assert aws.inventory() == []
