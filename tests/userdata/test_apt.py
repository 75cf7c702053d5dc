"""apt_update and apt_install of runner/retry.sh, with the real apt on folders of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine_bench import USERDATA

pytestmark = pytest.mark.skipif(
    not shutil.which("apt-get"), reason="there is no apt-get on this computer"
)

RUNNER = USERDATA / "runner"
DEAD = "file:/nowhere/third"
CONF = """\
Dir "{root}/";
Dir::Etc "etc";
Dir::Etc::parts "none";
Dir::Etc::trustedparts "none";
Dir::Etc::preferencesparts "none";
Dir::State "state";
Dir::State::status "{root}/state/status";
Dir::Cache "cache";
APT::Sandbox::User "root";
Debug::NoLocking "0";
"""


class Apt:
    """An apt with an archive of its own, and the phase `system` that uses it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in (
            "etc/sources.list.d",
            "etc/none",
            "state/lists/partial",
            "cache/archives/partial",
        ):
            (root / name).mkdir(parents=True)
        for name in ("machine/opt/gpustation", "machine/var/lib/gpustation/warnings", "archive"):
            (root / name).mkdir(parents=True)
        (root / "state/status").touch()
        (root / "archive/Packages").touch()
        (root / "apt.conf").write_text(CONF.format(root=root))
        self.sources("sources.list", f"deb [trusted=yes] file:{root}/archive ./")

    def sources(self, path: str, text: str) -> None:
        (self.root / "etc" / path).write_text(text + "\n")

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f'. "{RUNNER}/record.sh"; . "{RUNNER}/retry.sh"; {command}'],
            env={
                "PATH": os.environ["PATH"],
                "APT_CONFIG": str(self.root / "apt.conf"),
                "GPUSTATION_ROOT": str(self.root / "machine"),
                "GPUSTATION_RECORD": str(self.root / "record"),
                "GPUSTATION_PHASE": "system",
                "GPUSTATION_RETRY_SECONDS": "0",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def warnings(self) -> str:
        found = self.root / "machine/var/lib/gpustation/warnings/system"
        return found.read_text() if found.exists() else ""


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path)


THIRD_PARTIES = {
    "it does not answer": "deb [trusted=yes] http://127.0.0.1:9/third ./",
    "it is gone": f"deb [trusted=yes] {DEAD} ./",
    "nobody vouches for its signature": "deb file:{root}/archive ./third",
}


@pytest.mark.parametrize("fault", THIRD_PARTIES)
@pytest.mark.rows_in_make_test(1)
def test_another_source_that_fails_is_one_warning(apt: Apt, fault: str) -> None:
    apt.sources("sources.list.d/third.list", THIRD_PARTIES[fault].format(root=apt.root))
    done = apt.run("apt_update; apt_update")
    assert done.returncode == 0, done.stderr
    (line,) = apt.warnings().splitlines()
    assert line.startswith("an apt source beside the distribution's own fails and is not used: ")
    assert "third" in line


@pytest.mark.parametrize("place", ["sources.list", "sources.list.d/ubuntu.sources"])
def test_the_distributions_own_archive_must_answer(apt: Apt, place: str) -> None:
    """The source that works is somebody else's."""
    deb822 = f"Types: deb\nURIs: {DEAD}\nSuites: ./\nTrusted: yes"
    apt.sources(place, deb822 if place.endswith(".sources") else f"deb [trusted=yes] {DEAD} ./")
    apt.sources("sources.list.d/works.list", f"deb [trusted=yes] file:{apt.root}/archive ./")
    assert apt.run("apt_update").returncode == 100
    assert apt.warnings() == ""
    status, kind, command = (apt.root / "record").read_text().splitlines()
    assert (status, kind) == ("100", "command")
    assert command.startswith("apt-get -y -q ")


def test_without_a_source_of_the_distributions_every_one_must_answer(apt: Apt) -> None:
    """A mirror in a file of its own stands for the distribution's archive."""
    apt.sources("sources.list", "# nothing here")
    apt.sources("sources.list.d/mirror.list", f"deb [trusted=yes] {DEAD} ./")
    assert apt.run("apt_update").returncode == 100


@contextlib.contextmanager
def held(lock: Path, seconds: float) -> Iterator[None]:
    """Hold a lock as another program does, for some seconds."""
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        release = threading.Timer(seconds, fcntl.lockf, (file, fcntl.LOCK_UN))
        release.start()
        yield
        release.cancel()


def test_lock_of_the_package_lists_is_waited_for(apt: Apt) -> None:
    with held(apt.root / "state/lists/lock", 3):
        done = apt.run("apt_update")
    assert done.returncode == 0, done.stderr
    assert "Could not get lock" in done.stderr
    assert apt.warnings() == ""


def test_lock_that_is_never_released_is_named(apt: Apt) -> None:
    with held(apt.root / "state/lists/lock", 60):
        done = apt.run("apt_update", GPUSTATION_LOCK_SECONDS="1")
    assert done.returncode == 100
    assert f"E: Could not get lock {apt.root}/state/lists/lock. It is held by" in done.stderr


def test_what_is_not_in_the_archive_is_asked_for_once(apt: Apt) -> None:
    apt.run("apt_update")
    done = apt.run("apt_install no-such-package", GPUSTATION_RETRY_SECONDS="60")
    assert done.returncode == 78
    assert "Unable to locate package no-such-package: trying again would not help" in done.stderr
