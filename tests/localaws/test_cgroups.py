"""The control group of a machine goes with it, whatever still runs in it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.machines.booted import cgroups, support

pytestmark = pytest.mark.skipif(support.why_not() is not None, reason=str(support.why_not()))


@pytest.fixture
def populated() -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A control group with one below it, in which a process runs that ignores SIGTERM."""
    folder = cgroups.create("populated")
    inner = folder / "system.slice"
    inner.mkdir()
    command = f"trap '' TERM; echo 0 >{inner}/cgroup.procs; echo ready; sleep 1000"
    process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield folder, process
    process.kill()
    process.wait()
    process.stdout.close()
    cgroups.remove(folder)


def test_what_runs_in_it_ends_with_it(populated: tuple[Path, subprocess.Popen[bytes]]) -> None:
    folder, process = populated
    assert cgroups.remove(folder)
    assert not folder.exists()
    assert process.wait(10) == -9


def test_one_that_does_not_end_is_named(
    populated: tuple[Path, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, process = populated
    monkeypatch.setattr(cgroups, "PATIENCE", 0.0)
    monkeypatch.setattr(Path, "write_text", lambda *_: 0)  # nothing is killed
    with pytest.raises(OSError, match=rf"{folder.name} has processes .*\b{process.pid}\b"):
        cgroups.create("populated")
