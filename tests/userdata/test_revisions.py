"""Newer scripts on a machine that exists: what they repeat there, and what never."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cloud_bench import archive_of
from machine_bench import USERDATA, Machine

RUNNER = (USERDATA / "run.sh").read_text()
ROWS = re.findall(r"^  '(\S+) +\S+ +\S+ +(\d+)  ([^']+)'$", RUNNER, re.MULTILINE)
#: What release 0.1.0 wrote into done/ for these settings.
SETTINGS = {
    "driver_branch": "580-server",
    "driver_kind": "open",
    "fabric_manager": False,
    "framework": "mxnet",
    "cuda_toolkit": False,
    "notebooks": True,
}
WRITTEN = {
    "driver": "8bdbfabc914535b6",
    "environment": "6d658148f1032096",
    "notebooks": "e903a081aa1d579b",
    "system": "451b2159bc90b01d",
}


def digests(root: Path) -> dict[str, str]:
    """The digest of each phase today, for the settings above."""
    settings = root / "var/lib/gpustation/settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS))
    (root / "etc").mkdir()
    (root / "etc/machine-id").write_text("machine\n")
    rows = [f"{revision} {keys}" for name, revision, keys in ROWS if name in WRITTEN]
    done = subprocess.run(
        [sys.executable, "-I", USERDATA / "runner/settings.py", "digest", *rows],
        env={"PATH": os.environ["PATH"], "GPUSTATION_ROOT": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    names = [name for name, _, _ in ROWS if name in WRITTEN]
    return dict(zip(names, done.stdout.split(), strict=True))


def test_every_row_of_the_table_is_read_here() -> None:
    assert len(ROWS) == len(re.findall(r"^  '", RUNNER, re.MULTILINE))


@pytest.mark.parametrize("phase", ["driver", "environment", "notebooks"])
def test_phases_of_gigabytes_and_of_the_persons_files_are_never_repeated(
    tmp_path: Path, phase: str
) -> None:
    """Machines have these digests on their disks; another one would install everything again."""
    assert digests(tmp_path)[phase] == WRITTEN[phase]


def test_a_raised_revision_is_another_digest(tmp_path: Path) -> None:
    assert digests(tmp_path)["system"] != WRITTEN["system"]


def test_a_raised_revision_repeats_its_phase_on_a_machine_that_exists(finished: Machine) -> None:
    """The scripts of a release that has something new for phase jupyter."""
    old = re.search(r"50-start-jupyter +(\d+)", RUNNER)
    assert old is not None
    newer = RUNNER.replace(old[0], old[0][: -len(old[1])] + str(int(old[1]) + 1))
    finished.cloud.serve_scripts(archive_of(USERDATA, extra={"run.sh": newer.encode()}))
    finished.forget_calls()
    output = finished.boot()
    assert "phase jupyter finished" in output
    for phase in ("system", "driver", "environment", "notebooks", "verify"):
        assert f"phase {phase} started" not in output
    assert not finished.calls("uv")
