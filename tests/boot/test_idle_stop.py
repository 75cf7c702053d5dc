"""The idle stop on machines that boot: who keeps a machine awake, and who does not.

Only a booted machine has the cgroups, terminals, sessions, connections and kernels that are
sampled. All times are a tenth, but for two tests: one here, which a real tick, the real window of
the setting and the real warning need, and one in test_reaching_a_machine. Machines of several tests
run side by side, because they mostly wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.boot.idle_scene import Outcome, fault, play
from tests.boot.idle_scenes import SCENES
from tests.boot.installed import installed_disk

pytestmark = pytest.mark.tier("test")

SIDE_BY_SIDE = 5
IN_TEST = ("work-under-systemd-run",)
"""The one that stops is in test_reaching_a_machine."""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """What comes of each scene that a test of this run asks for."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "name" in getattr(item, "callspec", item).params
    }
    disk = None
    if any(SCENES[name].notebooks for name in asked):
        disk = installed_disk(tmp_path_factory, distribution)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            name: pool.submit(
                play,
                scene,
                distribution,
                tmp_path_factory.mktemp(name),
                disk if scene.notebooks else None,
            )
            for name, scene in SCENES.items()
            if name in asked
        }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_TEST else [pytest.mark.tier("all")])
        for name in SCENES
    ],
)
def test_who_keeps_a_machine_awake(name: str, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[name].result()
    print(f"{outcome}\n{outcome.journal}")
    assert not fault(SCENES[name], outcome)
