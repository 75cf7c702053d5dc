"""What a run will do and cost, before anything is made."""

from __future__ import annotations

import itertools

import pytest

from acceptance.estimate import Quota, chosen, estimate, larger_type, least_limit, net
from acceptance.meter import DESTROY_HOURS, Holdings, Meter, Rates
from acceptance.parts.table import ALWAYS, PARTS
from acceptance.questions import PARTS as NAMED
from gpustation.catalog.gpu_types import gpu_types, require_type
from gpustation.catalog.prices import ADDRESS_PER_HOUR

G4DN = require_type("g4dn.xlarge")
PRICES = {"g4dn.xlarge": 0.526, "g4dn.2xlarge": 0.752}
RATES = Rates(PRICES.__getitem__, 0.08)


def names(**options: object) -> list[str]:
    return [part.name for part in chosen(**options)]  # type: ignore[arg-type]


def test_the_parts_are_those_of_evidence_files_and_need_only_earlier_ones() -> None:
    assert {part.name for part in PARTS} == set(NAMED)
    for number, part in enumerate(PARTS):
        assert set(part.needs) <= {one.name for one in PARTS[:number]}


def test_options_choose_parts_with_what_they_need() -> None:
    assert names(quick=True) == [
        *("doctor", "bootstrap", "deploy", "compute", "destroy", "leftovers"),
    ]
    assert names(only=["baked-start"]) == [
        *("doctor", "bootstrap", "deploy", "bake-image", "baked-start", "destroy", "leftovers"),
    ]
    left = names(without=["deploy"])
    assert left == ["doctor", "bootstrap", "refused-quota", "bake-image", "destroy", "leftovers"]
    assert len(names()) == len(PARTS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": ["stop"]}, "'stop' is not a part; there are doctor, bootstrap"),
        ({"without": ["Deploy"]}, "'Deploy' is not a part"),
        *(({"without": [name]}, f"'{name}' cannot be left out") for name in ALWAYS),
    ],
)
def test_a_wrong_part_is_named_with_the_rule(options: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chosen(**options)


@pytest.mark.parametrize(
    ("quota", "left_out"),
    [
        (Quota(8, 4), set()),
        (Quota(None, None), set()),
        (Quota(4, 4), {"type-change"}),
        (Quota(8, 0), {"spot"}),
        (Quota(0, 4), {part.name for part in PARTS if part.machine} - {"destroy"}),
    ],
)
def test_what_the_quotas_have_no_room_for_is_left_out(quota: Quota, left_out: set[str]) -> None:
    planned = estimate(PARTS, G4DN, larger_type(G4DN, "mxnet"), RATES, quota)
    direct = {name for name, why in planned.left_out.items() if why.startswith("quota: ")}
    if quota.free == 0:
        assert planned.left_out["type-change"].startswith("quota: a g4dn.2xlarge needs 8 vCPUs")
        left_out -= {"spot"}  # another quota, but it needs the deploy
        assert "it needs deploy" in planned.left_out["spot"]
    assert direct == left_out
    assert not left_out & {part.name for part in planned.parts}


def test_records_leave_out_what_needs_an_answer() -> None:
    planned = estimate(PARTS, G4DN, None, RATES, Quota(8, 8), records=True)
    assert {"compute", "reach", "packages", "bench", "idle-stop"} <= planned.left_out.keys()
    assert "no larger type" in planned.left_out["type-change"]


def test_the_expected_sum_is_by_machine_minutes_disk_and_address() -> None:
    (deploy,) = (part for part in PARTS if part.name == "deploy")
    planned = estimate([deploy], G4DN, None, RATES, Quota(8))
    machine = sum(minutes for _, minutes in deploy.machine) / 60 * (0.526 + ADDRESS_PER_HOUR)
    disk = deploy.minutes / 60 * 64 * 0.08 / 730
    assert planned.expected == pytest.approx(machine + disk)
    reserve = (0.526 + ADDRESS_PER_HOUR) * DESTROY_HOURS
    assert least_limit(planned, G4DN, None, RATES) == pytest.approx(planned.expected + reserve)


def test_a_whole_run_fits_into_two_dollars_and_two_hours() -> None:
    planned = estimate(PARTS, G4DN, larger_type(G4DN, "mxnet"), RATES, Quota(8, 8))
    assert least_limit(planned, G4DN, larger_type(G4DN, "mxnet"), RATES) < 2
    assert planned.minutes < 120


def test_the_larger_type_has_the_same_gpus() -> None:
    assert larger_type(G4DN, "mxnet") == require_type("g4dn.2xlarge")
    for gpu_type in gpu_types().values():
        larger = larger_type(gpu_type, "pytorch")
        if larger is not None:
            assert (larger.family, larger.gpu, larger.gpus) == (
                *(gpu_type.family, gpu_type.gpu),
                gpu_type.gpus,
            )
            assert larger.vcpus > gpu_type.vcpus


def test_the_net_stops_the_machine_after_the_planned_end_and_within_a_day() -> None:
    planned = estimate(PARTS, G4DN, None, RATES, Quota(8, 8))
    noon = 1_800_014_400.0
    settings, stops = net(planned, 1.2, lambda: noon)
    assert settings["monthly_budget_usd"] == "2", "rounded up: it must not stop a run within it"
    assert settings["idle_stop_minutes"] == "30"
    assert settings["stop_at"] == f"{stops:%H:%M} UTC"
    assert planned.minutes * 60 < stops.timestamp() - noon < 86400


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


MACHINE = Holdings({"i-1": "g4dn.xlarge"}, addresses=1, disk_gib=64)


def test_the_meter_adds_up_what_ran_and_never_less() -> None:
    clock = Clock()
    meter = Meter(RATES, clock, 2.0)
    meter.observe(MACHINE)
    clock.now = 3600
    meter.observe(MACHINE)
    hour = 0.526 + ADDRESS_PER_HOUR + 64 * 0.08 / 730
    assert meter.spent == pytest.approx(hour)
    clock.now = 7200
    meter.observe(Holdings(disk_gib=64))  # it ended at an unknown moment of that hour
    assert meter.spent == pytest.approx(2 * hour)
    assert meter.hours == {"g4dn.xlarge": pytest.approx(2)}
    clock.now = 10800
    meter.observe(Holdings(disk_gib=64))
    assert meter.spent == pytest.approx(2 * hour + 64 * 0.08 / 730)


def test_an_hour_that_cannot_be_observed_counts_as_the_one_before() -> None:
    clock = Clock()
    meter = Meter(RATES, clock, 2.0)
    meter.observe(MACHINE)
    clock.now = 3600
    meter.carry_on()
    assert meter.by_kind["machines"] == pytest.approx(0.526)


def test_the_run_is_over_while_the_deletion_is_still_paid_for() -> None:
    clock = Clock()
    meter = Meter(RATES, clock, 1.0)
    meter.observe(MACHINE)
    for minute in itertools.count(1):
        clock.now = 60.0 * minute
        meter.observe(MACHINE)
        if meter.is_over:
            break
    assert meter.spent < 1.0
    assert meter.spent + meter.reserve == pytest.approx(1.0, abs=0.01)
    assert meter.reserve == pytest.approx((0.526 + 0.005 + 64 * 0.08 / 730) * DESTROY_HOURS)
