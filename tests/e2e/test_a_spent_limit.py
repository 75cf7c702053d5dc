"""A plan says that a lower limit stops the machine, and the deploy after it does.

Only the table that the deployed limit has filled itself, and its own decision at the deploy, can
show the plan to be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpustation.catalog.spending import HOUR, Month
from gpustation.plan.effect import Effect
from localaws import LocalAws
from tests.e2e.plan_question import Question, assert_nothing_left
from tests.e2e.test_up_and_down import Person
from tests.support.bootstrap import bootstrap
from tests.support.cdk_cli import STACK, Account, Cdk
from tests.support.probe_stack import G_QUOTA


@pytest.fixture
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """An account of its own, on the second day of a month: nothing sets its clock back."""
    with LocalAws() as aws:
        bootstrap(aws, tmp_path_factory)
        aws.control.set_quota(G_QUOTA, 8)
        now = aws.control.clock()
        aws.control.advance(Month.of(now).end + 24 * HOUR - now)
        yield aws


@pytest.mark.tier("all")
def test_a_limit_that_is_spent_is_said_before_the_deploy_stops_the_machine(
    later: LocalAws, tmp_path: Path
) -> None:
    cdk, question, account = Cdk(later, tmp_path), Question(later, tmp_path), Account(later)
    assert cdk.deploy().status == 0
    machine = account.instance()["InstanceId"]
    later.control.advance(10 * HOUR)

    # The first limit: nothing is recorded yet, so the present run counts
    first = question.ask(monthly_budget_usd=3)
    assert first.returncode == Effect.HALTED.status, first.stderr
    assert re.search(rf"=3: 5\.\d\d USD are spent .* the deploy stops {machine} ", first.stdout)
    enough = question.ask(monthly_budget_usd=20)
    assert enough.returncode == Effect.IN_PLACE.status
    assert "USD are spent" not in enough.stdout
    assert cdk.deploy(monthly_budget_usd=20).status == 0
    later.control.advance(0)
    assert account.instance()["State"]["Name"] == "running"

    # The ledger, the notice for those who may not read it, and neither
    for fault in (None, "Scan", "GetParameter"):
        if fault:
            later.control.fault(fault, "deny")
        lower = question.ask(monthly_budget_usd=4)
        if fault == "GetParameter":
            assert lower.returncode == Effect.IN_PLACE.status
            assert "what this month has cost cannot be read (AccessDenied" in lower.stdout
        else:
            assert lower.returncode == Effect.HALTED.status
            assert f"{STACK}: {Effect.HALTED.meaning}\n" in lower.stdout
            month = Month.of(later.control.clock())
            assert re.search(
                rf"=4: 5\.\d\d USD are spent in {month}, at list price, so the deploy stops "
                rf"{machine} within seconds, .*; set at least 6, or",
                lower.stdout,
            )
    later.control.fault("Scan", None)
    later.control.fault("GetParameter", None)
    replaced = question.ask(monthly_budget_usd=4, generation=2)
    assert replaced.returncode == Effect.REFUSED.status
    assert "so a new machine is refused; set at least 6" in replaced.stdout
    assert account.instance()["State"]["Name"] == "running", "asking changes nothing"
    assert_nothing_left(later, stacks=[STACK])

    status, out, err = Person(later, tmp_path).runs("up", "-c", "monthly_budget_usd=4")
    assert status != 0 and "--yes" in err
    assert f"the deploy stops {machine} within seconds" in out
    assert cdk.deploy(monthly_budget_usd=4).status == 0
    later.control.advance(0)
    assert account.instance()["State"]["Name"] == "stopped"

    # It does not run: a still lower one changes nothing now
    idle = question.ask(monthly_budget_usd=2)
    assert idle.returncode == Effect.IN_PLACE.status
    assert "so each start in this month is undone; set at least 6" in idle.stdout
