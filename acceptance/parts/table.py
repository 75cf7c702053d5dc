"""The parts of a run, in their order, with what each costs on AWS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from acceptance.parts import account, ending, images, later, machine
from acceptance.questions import PARTS as WORDS
from acceptance.run import Evidence, Run

OWN, LARGER = "own", "larger"
"""Whose price counts: the run's type, and the one that it is changed to."""


@dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
        name: Its name.
        minutes: How long it takes on AWS. Estimates: the machine's set-up by the sizes of its
            downloads and the boot, the others by the durations that AWS's and other projects'
            documentation give. They decide what a run is expected to cost; the first evidence file
            corrects them.
        work: Does it.
        machine: Minutes for which a machine is billed, by whose price.
        needs: Parts without which it cannot be shown.
        quick: Whether it is part of ``--quick``.
        answers: Whether it needs a machine that answers, not a record.
    """

    name: str
    minutes: float
    work: Callable[[Run], Evidence]
    machine: tuple[tuple[str, float], ...] = ()
    needs: tuple[str, ...] = ()
    quick: bool = False
    answers: bool = False

    @property
    def what(self) -> str:
        """What it shows, as a clause."""
        return WORDS[self.name]


def _own(minutes: float) -> tuple[tuple[str, float], ...]:
    return ((OWN, minutes),)


PARTS = (
    Part("doctor", 0.5, account.doctor, quick=True),
    Part("bootstrap", 1.5, account.bootstrap, quick=True),
    Part(
        "refused-quota",
        2,
        account.refused_quota,
        needs=("bootstrap",),
    ),
    Part(
        "deploy",
        10,
        machine.deploy,
        _own(8.5),
        needs=("bootstrap",),
        quick=True,
    ),
    Part(
        "compute",
        1,
        machine.compute,
        _own(1),
        needs=("deploy",),
        quick=True,
        answers=True,
    ),
    Part(
        "reach",
        1.5,
        machine.reach,
        _own(1.5),
        needs=("deploy",),
        answers=True,
    ),
    Part(
        "packages",
        2,
        machine.packages,
        _own(2),
        needs=("deploy",),
        answers=True,
    ),
    Part(
        "bench",
        4,
        machine.bench,
        _own(4),
        needs=("deploy",),
        answers=True,
    ),
    Part(
        "power",
        7,
        machine.power,
        _own(6),
        needs=("deploy",),
    ),
    Part(
        "save-image",
        6,
        images.save_image,
        _own(6),
        needs=("deploy",),
    ),
    Part(
        "type-change",
        5,
        machine.type_change,
        ((LARGER, 4),),
        needs=("deploy",),
    ),
    Part(
        "bake-image",
        32,
        images.bake_image,
        _own(27),
        needs=("bootstrap",),
    ),
    Part(
        "baked-start",
        6,
        images.baked_start,
        _own(5),
        needs=("deploy", "bake-image"),
    ),
    Part(
        "framework",
        12,
        later.framework,
        _own(10),
        needs=("deploy",),
    ),
    Part(
        "idle-stop",
        14,
        later.idle_stop,
        _own(13),
        needs=("deploy",),
        answers=True,
    ),
    Part(
        "spot",
        6,
        later.spot,
        _own(5),
        needs=("deploy",),
    ),
    Part("destroy", 6, ending.destroy, _own(2), quick=True),
    Part("leftovers", 1, ending.leftovers, quick=True),
)
"""All parts. The machine is stopped before what does not need it."""
ALWAYS = ("doctor", "bootstrap", "destroy", "leftovers")
"""Parts that no option leaves out."""
