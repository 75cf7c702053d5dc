"""One leftover of each kind is found with its cost, and its command removes it and no other.

Only the real thing and the real command show that they fit.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from planting import Garden

from gpustation.leftovers import Result
from gpustation.leftovers.table import KINDS

Look = Callable[..., Result]
Paste = Callable[[str], None]
BY_STACKS_ONLY = {"built image"}
"""What no plain call makes in an instant: tests/e2e/test_leftovers_of_stacks.py."""


def test_every_kind_is_planted() -> None:
    planted = {kind.name for kind in KINDS if hasattr(Garden, Garden.method(kind.name))}
    assert {kind.name for kind in KINDS} - planted == BY_STACKS_ONLY


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if number % 3 == 0 else pytest.mark.tier("all"))
        for number, kind in enumerate(sorted({kind.name for kind in KINDS} - BY_STACKS_ONLY))
    ],
)
@pytest.mark.rows_in_make_test(4)
def test_one_of_each(kind: str, garden: Garden, look: Look, paste: Paste) -> None:
    before = look()
    assert (before.left, before.not_checked) == ((), ())
    planted = garden.plant(kind)
    found = look()
    assert [(row.kind, row.id) for row in found.rows] == [(one.kind, one.id) for one in planted]
    for row, one in zip(found.rows, planted, strict=True):
        assert row.usd_per_month == pytest.approx(one.usd)
        assert row.ours and row.cost
        assert row.removal.startswith("aws ")
        assert (f"--region {found.region}" in row.removal) == (row.region == "us-east-1")
        assert bool(row.stays) == (kind == "bucket")
        paste(row.removal)
    after = look()
    assert (after.rows, after.not_checked) == ((), ())
