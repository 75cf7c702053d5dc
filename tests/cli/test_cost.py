"""``gpustation cost``, and what other verbs say of a spend limit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from gpustation.aws.spend_notice import Notice, parse_notice
from gpustation.catalog.spending import Month, Spent
from localaws import LocalAws
from tests.cli.conftest import Verb, deploy
from tests.support.assembly import WORKSTATION
from tests.support.cdk_cli import delete_stack
from tests.support.probe_stack import G_QUOTA, Stack

NAME = f"/gpustation/spent/{WORKSTATION}"


@pytest.fixture(scope="module")
def limited(server: LocalAws) -> Iterator[Stack]:
    server.control.reset()
    server.control.set_quota(G_QUOTA, 12)
    stack = deploy(server, WORKSTATION, monthly_budget_usd=20)
    yield stack
    server.control.reset()
    delete_stack(server, stack.name)


def notice_of(aws: LocalAws) -> Notice:
    text = aws.client("ssm").get_parameter(Name=NAME)["Parameter"]["Value"]
    notice = parse_notice(text)
    assert notice is not None
    return notice


def write(aws: LocalAws, notice: Notice) -> None:
    aws.client("ssm").put_parameter(Name=NAME, Value=notice.to_json(), Overwrite=True)


@pytest.mark.usefixtures("limited")
def test_cost_has_parts_and_what_is_left(aws: LocalAws, verb: Verb) -> None:
    rows = {row[0]: row[1:] for row in verb("cost").rows if len(row) > 1}
    assert list(rows) == [
        *("machine", "address", "disk", "total", "this run", "now", "images", "left")
    ]
    assert float(rows["now"][0]) == pytest.approx(0.526 + 0.005 + 5.12 / 720, abs=0.001)
    assert "of the limit of 20 USD" in rows["left"][1]
    found = verb("cost", "--json").document
    assert found["recorded"] and found["limit_usd"] == 20
    assert found["left_usd"] == pytest.approx(20, abs=0.1)
    none = verb("cost", "--month", "2020-01", "--json").document
    assert none["usd"]["total"] == 0 and none["limit_usd"] is None


@pytest.mark.usefixtures("limited")
def test_a_month_that_is_none_is_refused(verb: Verb) -> None:
    ran = verb("cost", "--month", "november")
    assert ran.status == 2 and "must be a month in the form 2026-11" in ran.err


@pytest.mark.usefixtures("limited")
def test_status_and_start_say_that_the_limit_is_spent(aws: LocalAws, verb: Verb) -> None:
    plain = dict(row for row in verb("status").rows if len(row) == 2)
    assert "of 20 USD spent in" in plain["spend limit"]
    ec2, machine = aws.client("ec2"), verb("status", "--json").document["workstations"][0]
    ec2.stop_instances(InstanceIds=[machine["machine"]["instance_id"]])
    aws.control.advance(0)
    spent = replace(notice_of(aws), reason="the limit of 20 USD for this month is spent")
    write(aws, replace(spent, month=Month.of(time.time())))
    (shown,) = verb("status", "--json").document["workstations"]
    assert shown["spend_limit"]["reason"] == spent.reason
    refused = verb("start", "--yes")
    assert refused.status == 1 and "would be stopped again at once" in refused.err
    write(aws, replace(spent, month=Month(2020, 1)))
    assert verb("start", "--yes").status == 0


@pytest.mark.usefixtures("limited")
@pytest.mark.parametrize("text", ["[]", "nonsense", '{"schema": 2}', '{"schema": 1}'])
def test_a_notice_that_cannot_be_used_is_told(aws: LocalAws, verb: Verb, text: str) -> None:
    aws.control.advance(0)
    kept = notice_of(aws)
    aws.client("ssm").put_parameter(Name=NAME, Value=text, Overwrite=True)
    try:
        shown = dict(row for row in verb("status").rows if len(row) == 2)
        assert "cannot be used" in shown["spend limit"]
    finally:
        write(aws, kept)


def test_a_notice_keeps_what_it_says() -> None:
    notice = Notice(Month(2026, 11), 20, Spent(1, 2, 3), 0.5, 100.0, 200.0, None, "")
    assert parse_notice(notice.to_json()) == notice
    assert parse_notice("{}") is None


@pytest.mark.tier("all")
def test_without_a_limit_only_this_run_is_known(aws: LocalAws, verb: Verb) -> None:
    name = f"{WORKSTATION}-free"
    deploy(aws, name, name="free")
    try:
        ran = verb("cost", "--name", "free")
        assert "is not recorded; the setting monthly_budget_usd records it" in ran.out + ran.err
        assert not verb("cost", "--stack", name, "--json").document["recorded"]
        past = verb("cost", "--stack", name, "--month", "2026-01")
        assert past.status == 1 and "nothing is recorded of 2026-01" in past.err
    finally:
        delete_stack(aws, name)
