"""``make diff`` and its module say beforehand what the real CDK CLI's deploy would do.

Only the CLI's own deploy, made after the plan, can show the plan to be wrong.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from gpustation.plan.change_set import NAME_PREFIX
from gpustation.plan.judgement import Effect
from localaws import LocalAws
from tests.e2e.conftest import G_QUOTA
from tests.e2e.plan_question import Question, assert_nothing_left
from tests.support.cdk_cli import STACK, Account, Cdk, delete_stack
from tests.support.settings_table import (
    IN_PLACE,
    NEW_GENERATION,
    NEXT_BOOT,
    OF_OTHER_STACKS,
    SYNTH_ONLY,
)
from tests.support.synthesis import PUBLIC_KEY, ROOT

ROWS: list[tuple[dict[str, Any], Effect, list[str]]] = [
    ({}, Effect.NOTHING, []),
    ({"allow_world_ssh": True, **OF_OTHER_STACKS}, Effect.NOTHING, []),
    (
        {**IN_PLACE, **NEXT_BOOT},
        Effect.IN_PLACE,
        [
            r"ssh_cidr: none -> 203\.0\.113\.7/32 \(in place\)",
            r"SecurityGroup\w* changes in place",
            r"quota: enforce -> request \(in place\)",
            r"public_key: none -> ssh-ed25519 SHA256:\S{43} \(from the machine's next boot on\)",
            r"notebooks: true -> false \(from the machine's next boot on\)",
            r"cuda_toolkit: false -> true \(from the machine's next boot on\)",
            r"role_credentials_for_users: false -> true \(from the machine's next boot on\)",
            r"python_mirror: none -> https://mirror\.example\.com/python \(from the machine's next",
        ],
    ),
    (
        {"instance_type": "g5.xlarge", "ssh_cidr": "203.0.113.7/32"},
        Effect.STOPS,
        [
            r"instance_type: g4dn\.xlarge -> g5\.xlarge \(the machine stops and starts\)",
            r"ssh_cidr: none -> 203\.0\.113\.7/32",
            r"i-\w+ is stopped and started because of InstanceType; running programs end",
        ],
    ),
    (
        {"generation": 2, "disk_gib": 100},
        Effect.REPLACED,
        [
            r"generation: 1 -> 2 \(a new machine\)",
            r"disk_gib: 64 -> 100",
            r"i-\w+ is deleted with its disk, once the new machine is ready",
            r"18 resources created, 18 resources deleted",
        ],
    ),
    (
        NEW_GENERATION,
        Effect.REFUSED,
        [
            *(
                rf"{key}: \S+ -> {value} \(needs a new machine\)"
                for key, value in NEW_GENERATION.items()
            ),
            *(rf"{key}={value} \(the machine has " for key, value in NEW_GENERATION.items()),
            r'need a new machine: set "generation": 2',
        ],
    ),
]
"""One of each effect; key by key: tests/infra/test_contract.py."""


@pytest.fixture(scope="module")
def machine(
    bootstrapped: LocalAws, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Question, Account]]:
    """A machine in zone us-east-1a, so that another zone is a change."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 8)
    folder = tmp_path_factory.mktemp("plan")
    cdk = Cdk(bootstrapped, folder)
    assert cdk.deploy(availability_zone="us-east-1a").status == 0
    yield Question(bootstrapped, folder), Account(bootstrapped)
    bootstrapped.control.reset()
    delete_stack(bootstrapped, STACK)
    assert bootstrapped.inventory() == []


Machine = tuple[Question, Account]


@pytest.mark.parametrize(("settings", "effect", "lines"), ROWS)
def test_says_what_a_deploy_would_do(
    machine: Machine, settings: dict[str, Any], effect: Effect, lines: list[str]
) -> None:
    question, account = machine
    history = account.aws.control.history()
    done = question.ask(**{"availability_zone": "us-east-1a", **settings})
    assert done.returncode == effect.status, done.stderr
    headline, *rest = done.stdout.splitlines()
    assert headline == f"{STACK}: {effect.meaning}"
    for line in lines:
        assert any(re.search(line, one) for one in rest), line
    assert re.search(
        r"running  [0-9.]+ USD per hour, .*\n  spot     from [0-9.]+ USD .*\n"
        r"  stopped  .*\n  month    ",
        done.stdout,
    )
    changed = {one.split(":")[0].strip() for one in rest if " -> " in one}
    assert changed == set(settings) - {*OF_OTHER_STACKS, *SYNTH_ONLY}, "and no other setting"
    assert PUBLIC_KEY.split()[1] not in done.stdout
    assert account.aws.control.history() == history
    assert_nothing_left(account.aws, stacks=[STACK])


@pytest.mark.tier("all")
def test_what_is_allowed_ends_with_0(machine: Machine) -> None:
    question, _ = machine
    stops = {"availability_zone": "us-east-1a", "instance_type": "g5.xlarge"}
    assert question.ask("--allow", "in-place", **stops).returncode == Effect.STOPS.status
    assert question.ask("--allow", "in-place", "--allow", "stops", **stops).returncode == 0


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.tier("all")),
        pytest.param(signal.SIGHUP, marks=pytest.mark.tier("all")),
    ],
)
def test_a_question_that_is_cut_off_leaves_nothing(
    machine: Machine, number: signal.Signals
) -> None:
    question, account = machine
    cloudformation = account.aws.client("cloudformation")
    account.aws.control.fault("DescribeChangeSet", "throttle")  # held up while the change set is
    command = question.command(availability_zone="us-east-1a", generation=2)
    with subprocess.Popen(
        command, cwd=ROOT, env=question.environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        while not any(
            row["ChangeSetName"].startswith(NAME_PREFIX)
            for row in cloudformation.list_change_sets(StackName=STACK)["Summaries"]
        ):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.stderr is not None
        answer = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    account.aws.control.fault("DescribeChangeSet", None)
    assert process.returncode == 128 + number
    assert answer.startswith(f"{number.name}: deleting change set {NAME_PREFIX}")
    assert "plan: interrupted" in errors
    assert_nothing_left(account.aws, stacks=[STACK])


def test_fails_and_leaves_nothing_when_cloudformation_does_not_answer(machine: Machine) -> None:
    question, account = machine
    account.aws.control.fault("DescribeChangeSet", "deny")
    done = question.ask(availability_zone="us-east-1a", generation=2)
    account.aws.control.fault("DescribeChangeSet", None)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("plan: AccessDenied: ")
    assert done.stderr.count("\n") == 1
    assert_nothing_left(account.aws, stacks=[STACK])


def make_diff(aws: LocalAws, arguments: str) -> subprocess.CompletedProcess[str]:
    # What setup makes is there: the tests run in it
    made = ["-o", ".venv/.installed", "-o", "node_modules/.installed"]
    return subprocess.run(
        ["make", "--no-print-directory", *made, "diff", f"ARGS={arguments}"],
        cwd=ROOT,
        env=Question(aws, ROOT).environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.tier("all")
def test_make_diff_shows_and_fails_only_without_an_answer(machine: Machine) -> None:
    _, account = machine
    shown = make_diff(account.aws, "-c availability_zone=us-east-1a -c instance_type=g5.xlarge")
    assert shown.returncode == 0, shown.stderr
    assert f"{STACK}: {Effect.STOPS.meaning}\n" in shown.stdout
    assert "/Generation1/ImageChoice changes in place (InstanceType)" in shown.stdout
    assert "Error" not in shown.stderr
    refused = make_diff(account.aws, "-c disk_gib=8")
    assert refused.returncode == 2
    assert "disk_gib=8: " in refused.stderr
    assert "Traceback" not in refused.stderr
