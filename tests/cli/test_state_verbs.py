"""``status``, ``stop``, ``start``, ``reboot``, ``wait`` and ``log`` against the embedded AWS."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from gpustation.access.report import read_reports
from gpustation.console.errors import CommandError
from gpustation.console.statuses import FINDING, NO_ACCESS, NO_CAPACITY, TIMED_OUT, USAGE
from gpustation.workstation.find import Workstation
from gpustation.workstation.machine import machine_of
from localaws import LocalAws
from tests.cli.conftest import Verb, deploy
from tests.support.cdk_cli import delete_stack
from tests.support.probe_stack import Stack

pytestmark = pytest.mark.usefixtures("running")


@pytest.fixture
def running(deployed: Stack, aws: LocalAws, verb: Verb) -> None:
    assert verb("start", "--yes", "--stack", deployed.name).status == 0


def state(verb: Verb) -> str:
    (one,) = verb("status", "--json").document["workstations"]
    return str(one["machine"]["state"])


def test_status_says_what_a_person_asks(verb: Verb, deployed: Stack) -> None:
    ran = verb("status")
    facts = dict(ran.rows)
    assert ran.status == 0
    assert facts["stack"] == deployed.name
    assert facts["state"] == "running"
    assert facts["machine"] == deployed.outputs()["InstanceId"]
    assert facts["generation"] == "1"
    assert facts["disks"] == "64 GiB gp3"
    assert "MXNet 1.9.1" in facts["ready"]
    assert facts["price"] == "0.526 USD per hour"
    assert "2026-07-20" in ran.err and "the bill decides" in ran.err


def test_the_documents_numbers_are_those_of_the_account(verb: Verb) -> None:
    (one,) = verb("status", "--json").document["workstations"]
    cost = one["cost"]
    assert cost["usd_of_this_run"] == pytest.approx(one["hours"] * (0.526 + 0.005), abs=2e-3)
    assert cost["usd_per_month_stopped"] == 64 * 0.08
    assert one["steps"] == []


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N"


@pytest.fixture
def silent_again(aws: LocalAws, deployed: Stack) -> Iterator[None]:
    """Takes the report away: a machine that reports is waited for after a start."""
    yield
    ssm = aws.client("ssm")
    for name in read_reports(ssm, deployed.name):
        ssm.put_parameter(Name=name, Value="{}", Overwrite=True)


def tell(
    aws: LocalAws, stack: Stack, members: dict[str, object] | None = None, **changes: object
) -> str:
    """Write the machine's report as the machine would; return the parameter's name."""
    ssm = aws.client("ssm")
    (name,) = read_reports(ssm, stack.name)
    set_up = {
        "state": "running",
        "phase": "environment",
        "since": int(time.time()) - 20,
        "seconds": {"driver": 95},
        "warnings": {"metadata": "no rule \x1b[31m"},
    }
    machine = stack.outputs()["InstanceId"]
    report = {"schema": 1, "instance_id": machine, "host_keys": [KEY], "set_up": set_up | changes}
    report |= members or {}
    ssm.put_parameter(Name=name, Value=json.dumps(report), Overwrite=True)
    return name


@pytest.mark.usefixtures("silent_again")
def test_the_set_up_is_shown_live_with_its_warnings(
    aws: LocalAws, verb: Verb, deployed: Stack
) -> None:
    name = tell(aws, deployed)
    facts = dict(verb("status").rows)
    assert re.fullmatch(
        r"phase environment running, for 2\d s; before it driver 95 s", facts["set-up"]
    )
    assert facts["warning of metadata"] == r"no rule \x1b[31m"
    (one,) = verb("status", "--json").document["workstations"]
    assert one["set_up"]["seconds"] == {"driver": 95}
    ec2 = aws.client("ec2")
    ec2.stop_instances(InstanceIds=[one["machine"]["instance_id"]])
    assert "had begun when the machine stopped" in dict(verb("status").rows)["set-up"]
    tell(aws, deployed, state="complete", phase="jupyter-check", warnings={})
    assert "set-up" not in dict(verb("status").rows)
    aws.client("ssm").put_parameter(Name=name, Value='{"schema": 7}', Overwrite=True)
    assert "cannot be used" in dict(verb("status").rows)["set-up"]


@pytest.mark.usefixtures("silent_again")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("awake", "awake since 2026-11-28"),
        ("warned", "STOPS AT 21:31 UTC: nothing moved; this delays it: gpustation keep-awake 2h"),
        ("failing", "NOTHING DECIDES"),
    ],
)
def test_the_verdict_of_the_idle_stop_is_shown(
    aws: LocalAws, verb: Verb, deployed: Stack, state: str, words: str
) -> None:
    moment = 1795901460
    verdict = {"state": state, "reason": "nothing moved", "decided_at": moment, "stops_at": moment}
    until = int(time.time()) + 600
    stop = {"at": moment, "reason": "quiet \x1b[31m"}
    told = {"verdict": verdict, "last_stop": stop, "keep_awake_until": until, "scratch_gib": 114}
    name = tell(aws, deployed, told)
    facts = dict(verb("status").rows)
    assert words in facts["idle stop"]
    assert facts["kept awake"].startswith("until 20")
    assert facts["stopped itself"] == r"2026-11-28 21:31 UTC: quiet \x1b[31m"
    assert facts["scratch"] == "114 GiB at /scratch, lost at every stop"
    (one,) = verb("status", "--json").document["workstations"]
    assert one["scratch_gib"] == 114
    assert one["verdict"]["state"] == state
    assert one["last_stop"]["at"] == "2026-11-28T21:31:00+00:00"
    tell(aws, deployed, {"keep_awake_until": 5})
    gone = {"kept awake", "idle stop", "stopped itself", "scratch"}
    assert not gone & {*dict(verb("status").rows)}
    aws.client("ssm").put_parameter(Name=name, Value="{}", Overwrite=True)


def test_without_the_right_to_read_reports_status_shows_the_rest(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("GetParametersByPath", "deny", times=9)
    facts = dict(verb("status").rows)
    assert "ssm:GetParametersByPath" in facts["set-up"]
    assert facts["state"] == "running"


def test_a_machine_is_found_before_its_stack_names_it(aws: LocalAws, deployed: Stack) -> None:
    now = datetime.now(timezone.utc)
    first = Workstation(deployed.name, "CREATE_IN_PROGRESS", "", {}, now)
    machine = machine_of(aws.client("ec2"), first)
    assert machine.instance_id == deployed.outputs()["InstanceId"]
    with pytest.raises(CommandError, match="has no machine"):
        machine_of(aws.client("ec2"), replace(first, stack="GpuWorkstation-other"))


@pytest.mark.tier("all")
def test_the_machines_logs_need_a_running_machine(verb: Verb) -> None:
    verb("stop", "--yes")
    ran = verb("log", "--machine")
    assert ran.status == FINDING
    assert "is stopped" in ran.err


@pytest.mark.parametrize(
    "words", [("--phase", "driver"), ("--lines", "3"), ("--machine", "--failures")]
)
def test_options_that_contradict_are_a_usage_error(verb: Verb, words: list[str]) -> None:
    assert verb("log", *words).status == USAGE


def test_a_machine_stops_and_starts_with_another_address(verb: Verb) -> None:
    (before,) = verb("status", "--json").document["workstations"]
    stopped = verb("stop", "--yes", "--json")
    assert stopped.status == 0
    assert stopped.document["state"] == "stopped"
    (during,) = verb("status", "--json").document["workstations"]
    assert during["machine"]["address"] is None
    assert during["hours"] is None
    assert verb("stop", "--yes").status == 0  # already stopped
    started = verb("start", "--yes", "--json")
    assert started.document["state"] == "running"
    assert started.document["address"] != before["machine"]["address"]


@pytest.mark.parametrize("words", [("stop",), ("reboot",)])
def test_nothing_is_done_without_a_terminal_and_without_yes(verb: Verb, words: list[str]) -> None:
    ran = verb(*words)
    assert ran.status == FINDING
    assert "--yes" in ran.err
    assert state(verb) == "running"


def test_a_start_costs_and_is_not_done_unasked(verb: Verb) -> None:
    verb("stop", "--yes")
    assert verb("start").status == FINDING
    assert state(verb) == "stopped"


def test_a_start_without_quota_names_it(aws: LocalAws, verb: Verb) -> None:
    verb("stop", "--yes")
    aws.control.set_quota("L-DB2E81BA", 0)
    ran = verb("start", "--yes")
    assert ran.status == NO_CAPACITY
    assert "L-DB2E81BA" in ran.err and "VcpuLimitExceeded" in ran.err


def test_a_start_without_capacity_says_where(aws: LocalAws, verb: Verb) -> None:
    verb("stop", "--yes")
    (one,) = verb("status", "--json").document["workstations"]
    zone = one["machine"]["availability_zone"]
    aws.control.set_capacity("g4dn.xlarge", False)
    ran = verb("start", "--yes")
    assert ran.status == NO_CAPACITY
    assert zone in ran.err and "InsufficientInstanceCapacity" in ran.err


def test_only_a_running_machine_reboots(verb: Verb) -> None:
    assert verb("reboot", "--yes").status == 0
    verb("stop", "--yes")
    ran = verb("reboot", "--yes")
    assert ran.status == FINDING
    assert "is stopped" in ran.err


def test_a_wait_ends(verb: Verb) -> None:
    assert verb("wait", "--for", "ready", "--json").document["state"] == "running"
    verb("stop", "--yes")
    ran = verb("wait", "--for", "running", "--timeout", "1")
    assert ran.status == TIMED_OUT
    assert "stopped" in ran.err
    assert verb("wait", "--for", "stopped").status == 0


def test_the_log_is_that_of_the_last_deploy(verb: Verb) -> None:
    ran = verb("log")
    assert ran.status == 0
    assert ran.rows[0][1:3] == ["CREATE_IN_PROGRESS", "GpuWorkstation"]
    assert ran.rows[-1][1:3] == ["CREATE_COMPLETE", "GpuWorkstation"]
    assert verb("log", "--json").document["failure"] == ""


@pytest.mark.parametrize("words", [("status",), ("stop", "--yes"), ("wait",), ("log",)])
def test_a_denied_call_names_the_permission(aws: LocalAws, verb: Verb, words: list[str]) -> None:
    aws.control.fault("DescribeStacks", "deny", times=9)
    ran = verb(*words)
    assert ran.status == NO_ACCESS
    assert "cloudformation:DescribeStacks" in ran.err


def test_expired_credentials_are_named(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("DescribeStacks", "expired", times=9)
    ran = verb("status")
    assert ran.status == NO_ACCESS
    assert "expired" in ran.err


def test_throttling_is_waited_for(aws: LocalAws, verb: Verb) -> None:
    aws.control.fault("DescribeInstances", "throttle", times=2)
    assert verb("status").status == 0


@pytest.mark.tier("all")
def test_the_machine_may_be_on_a_later_page(aws: LocalAws, verb: Verb, deployed: Stack) -> None:
    """EC2's pages have 1000; what a verb does at the end of a page does not depend on that."""
    stack = deploy(aws, "GpuWorkstation-last", name="last")
    last = stack.outputs()["InstanceId"]
    aws.control.page_instances(1)
    try:
        (one,) = verb("status", "--json", "--name", "last").document["workstations"]
        assert one["machine"]["instance_id"] == last
        assert verb("quota", "g4dn.xlarge", "--json").document["in_use"] == 8
        first = Workstation(stack.name, "CREATE_IN_PROGRESS", "", {}, datetime.now(timezone.utc))
        assert machine_of(aws.client("ec2"), first).instance_id == last
        assert verb("stop", "--yes", "--name", "last").status == 0
    finally:
        delete_stack(aws, stack.name)


@pytest.mark.tier("all")
def test_among_1200_instances_of_others(aws: LocalAws, verb: Verb, deployed: Stack) -> None:
    """More than a page of EC2, and ours on the second one: ten seconds for so many records."""
    aws.control.crowd("t3.micro", 1190)
    aws.control.crowd("g4dn.xlarge", 10)
    try:
        pages = aws.client("ec2").get_paginator("describe_instances").paginate()
        first = next(iter(pages))
        assert sum(len(one["Instances"]) for one in first["Reservations"]) == 1000
        (one,) = verb("status", "--json").document["workstations"]
        assert one["machine"]["instance_id"] == deployed.outputs()["InstanceId"]
        assert verb("quota", "g4dn.xlarge", "--json").document["in_use"] == 44
        assert verb("stop", "--yes").status == 0
        assert verb("start", "--yes").status == NO_CAPACITY, "they use the quota"
    finally:
        for kind in ("t3.micro", "g4dn.xlarge"):
            aws.control.crowd(kind, 0)
    assert verb("start", "--yes").status == 0


class TestSeveral:
    @pytest.fixture(autouse=True)
    def another(self, aws: LocalAws, deployed: Stack) -> Iterator[Stack]:
        stack = deploy(aws, "GpuWorkstation-anna", name="anna")
        yield stack
        aws.control.reset()
        delete_stack(aws, stack.name)

    def test_all_are_shown_and_none_is_guessed(self, verb: Verb) -> None:
        rows = verb("status").rows
        assert [row[0] for row in rows] == ["GpuWorkstation", "GpuWorkstation-anna"]
        ran = verb("stop", "--yes")
        assert ran.status == USAGE
        assert "GpuWorkstation-anna" in ran.err and "--name" in ran.err
        states = [row[1] for row in verb("status").rows]
        assert states == ["running", "running"]

    def test_a_name_selects_one(self, verb: Verb) -> None:
        assert verb("stop", "--yes", "--name", "anna").status == 0
        states = [row[1] for row in verb("status").rows]
        assert states == ["running", "stopped"]


def test_a_name_that_does_not_exist_is_refused(verb: Verb) -> None:
    ran = verb("stop", "--yes", "--name", "bob")
    assert ran.status == FINDING
    assert "GpuWorkstation-bob" in ran.err
    assert verb("stop", "--name", "a", "--stack", "b").status == USAGE


def test_another_region_has_none(verb: Verb) -> None:
    ran = verb("status", "--region", "eu-west-1")
    assert ran.status == FINDING
    assert ran.out == "" and "eu-west-1" in ran.err
