import pytest

from gpustation.catalog.quotas import Instance, Need, Reservation, Verdict, judge

VCPUS = {"g4dn.xlarge": 4, "g5.2xlarge": 8, "gr6.4xlarge": 16, "vt1.3xlarge": 12, "p5.4xlarge": 16}
BESIDE = Need(4, replaces_own=False)
IN_PLACE = Need(8, replaces_own=True)


def verdict(*instances: Instance, limit: float | None = 8, need: Need = BESIDE) -> Verdict:
    return judge(need, "G/OnDemand", limit, instances, VCPUS)


def test_counts_pending_and_running_of_the_family_only() -> None:
    found = verdict(
        Instance("i-1", "g4dn.xlarge"),
        Instance("i-2", "g5.2xlarge", state="pending"),
        Instance("i-3", "gr6.4xlarge", state="stopped"),
        Instance("i-4", "p5.4xlarge"),
        Instance("i-5", "vt1.3xlarge"),
        Instance("i-6", "g5.2xlarge", lifecycle="spot"),
        Instance("i-7", "g5.2xlarge", lifecycle="capacity-block"),
        limit=100,
    )
    assert found.in_use == 4 + 8 + 12


@pytest.mark.parametrize(("limit", "refused"), [(3, True), (4, False), (5, False)])
def test_exactly_enough_is_enough(limit: int, refused: bool) -> None:
    assert verdict(limit=limit).is_refusal is refused


def test_a_new_machine_needs_room_beside_the_old_one() -> None:
    found = verdict(Instance("i-1", "g4dn.xlarge", own=True), limit=4)
    assert found.is_refusal
    assert found.fits_without_own
    assert found.desired == 8


def test_a_change_of_type_needs_the_difference() -> None:
    own = Instance("i-1", "g4dn.xlarge", own=True)
    assert not verdict(own, limit=8, need=IN_PLACE).is_refusal
    assert verdict(own, limit=7, need=IN_PLACE).is_refusal
    assert verdict(own, limit=7, need=IN_PLACE).desired == 8


def test_a_deploy_that_starts_nothing_needs_nothing() -> None:
    found = verdict(Instance("i-1", "g5.2xlarge", own=True), limit=0, need=Need(0, False))
    assert not found.is_refusal
    assert not found.is_unknown


def test_an_unknown_limit_is_neither_zero_nor_enough() -> None:
    found = verdict(limit=None)
    assert not found.is_refusal
    assert found.is_unknown
    assert found.free is None


def test_an_unknown_use_is_no_use_of_none() -> None:
    found = judge(BESIDE, "G/OnDemand", 8, None, VCPUS)
    assert found.is_unknown
    assert judge(BESIDE, "G/OnDemand", 0, None, VCPUS).is_refusal, "certain, whatever is in use"


def test_a_running_type_of_unknown_size_makes_the_use_unknown() -> None:
    assert verdict(Instance("i-1", "g99.large")).in_use is None


def test_free_is_never_below_zero() -> None:
    assert verdict(Instance("i-1", "gr6.4xlarge"), limit=8).free == 0


def reserved(
    *reservations: Reservation, instances: list[Instance] | None = None, need: Need = BESIDE
) -> Verdict:
    return judge(need, "G/OnDemand", 100, instances or [], VCPUS, reservations)


def test_a_reservation_counts_wholly_and_the_machines_in_it_not_again() -> None:
    found = reserved(
        Reservation("cr-1", "g5.2xlarge", total=3, unused=1),
        instances=[
            Instance("i-1", "g5.2xlarge", reservation="cr-1"),
            Instance("i-2", "g5.2xlarge"),
        ],
    )
    # One of the three is in use by an account that it is shared with
    assert (found.in_use, found.reserved) == (3 * 8 + 8, 8)


def test_machines_in_a_reservation_of_another_account_do_not_count() -> None:
    shared = Reservation("cr-1", "g5.2xlarge", total=3, unused=1, owned=False)
    found = reserved(shared, instances=[Instance("i-1", "g5.2xlarge", reservation="cr-1")])
    assert (found.in_use, found.reserved) == (0, 0)


def test_machines_in_a_reservation_that_has_ended_count() -> None:
    found = reserved(instances=[Instance("i-1", "g5.2xlarge", reservation="cr-gone")])
    assert found.in_use == 8


def test_reservations_of_other_quotas_do_not_count() -> None:
    assert reserved(Reservation("cr-1", "p5.4xlarge", total=1, unused=1)).in_use == 0


def test_a_change_of_type_does_not_free_a_reservation() -> None:
    own = Instance("i-1", "g4dn.xlarge", own=True, reservation="cr-1", zone="us-east-1a")
    one = Reservation("cr-1", "g4dn.xlarge", total=1, unused=0)
    found = reserved(one, instances=[own], need=IN_PLACE)
    assert (found.in_use, found.own) == (4, 0)


@pytest.mark.parametrize(("zone", "fits"), [("us-east-1a", True), ("us-east-1b", False)])
def test_a_machine_that_keeps_its_zone_uses_only_a_reservation_there(zone: str, fits: bool) -> None:
    need = Need(8, replaces_own=True, instance_type="g5.2xlarge")
    own = Instance("i-1", "g4dn.xlarge", own=True, zone="us-east-1a")
    one = Reservation("cr-1", "g5.2xlarge", total=1, unused=1, zone=zone)
    found = judge(need, "G/OnDemand", 8, [own], VCPUS, [one])
    assert found.is_refusal is not fits


def test_unknown_reservations_are_not_none() -> None:
    found = judge(BESIDE, "G/OnDemand", 8, [Instance("i-1", "g4dn.xlarge")], VCPUS, None)
    assert found.is_unknown and found.free is None
    assert judge(
        IN_PLACE, "G/OnDemand", 8, [Instance("i-1", "g4dn.xlarge")], VCPUS, None
    ).is_refusal
