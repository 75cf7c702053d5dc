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


def test_the_phase_that_moved_the_kernels_script_has_a_new_revision() -> None:
    (revision,) = (int(revision) for name, revision, _ in ROWS if name == "jupyter")
    assert revision > 3, "revision 3 wrote the path of an earlier version into kernel.json"


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


#: What scripts/lib/ of earlier versions held for units and kernels, which name it by its path.
FORWARDED = {"become-new-machine.sh", "limit-metadata.sh", "start-kernel.sh"}
FAILING = {"phases/04-warm-files/phase.sh": b"exit 78\n"}


def paths_in_use(root: Path) -> list[str]:
    """The scripts that installed units and notebook kernels name."""
    files = [
        *(root / "etc/systemd/system").glob("gpustation-*.service"),
        *(root / "opt/gpustation/env/share/jupyter/kernels").glob("*/kernel.json"),
    ]
    text = "".join(path.read_text() for path in files)
    return re.findall(r"/opt/gpustation/scripts/([^\s\"]+\.sh)", text)


def give_earlier_paths(machine: Machine) -> None:
    """Let the units and the kernel name the scripts where earlier versions had them.

    The phase that writes the kernel does not run at every boot: its mark is of an earlier revision.
    """
    (machine.state / "done/jupyter").write_text("digest of an earlier revision\n")
    for path in [
        *(machine.root / "etc/systemd/system").glob("gpustation-*.service"),
        *(machine.root / "opt/gpustation/env/share/jupyter/kernels").glob("*/kernel.json"),
    ]:
        path.write_text(
            re.sub(r"scripts/[\w/-]+/([\w-]+\.sh)", r"scripts/lib/\1", path.read_text())
        )


@pytest.fixture
def identified(finished: Machine) -> Machine:
    """A finished machine whose cloud-init names its instance, so that it has all units."""
    path = finished.root / "var/lib/cloud/data/instance-id"
    path.parent.mkdir(parents=True)
    path.write_text("i-0\n")
    finished.boot()
    return finished


def test_installed_units_and_kernels_name_scripts_that_exist(identified: Machine) -> None:
    scripts = identified.root / "opt/gpustation/scripts"
    named = paths_in_use(identified.root)
    assert {Path(name).name for name in named} == FORWARDED
    for name in named:
        assert (scripts / name).is_file(), name
    assert not (scripts / "lib").exists(), "only a machine of an earlier version has it"


def test_paths_of_an_earlier_version_work_until_their_phases_have_run(identified: Machine) -> None:
    """The first phase of the new scripts fails: nothing has written the new paths yet."""
    machine = identified
    give_earlier_paths(machine)
    machine.cloud.serve_scripts(archive_of(USERDATA, extra=FAILING))
    assert "phase warm failed" in machine.boot()
    scripts = machine.root / "opt/gpustation/scripts"
    assert {*paths_in_use(machine.root)} == {f"lib/{name}" for name in FORWARDED}
    for name in FORWARDED:
        forwarder = (scripts / "lib" / name).read_text()
        (target,) = re.findall(r'"(/.+\.sh)"', forwarder)
        assert Path(target).is_file() and Path(target).name == name
    machine.forget_calls()
    for command in (
        [scripts / "lib/become-new-machine.sh"],
        [scripts / "lib/start-kernel.sh", machine.root / "opt/gpustation/env", "mxnet", "x", "-f"],
    ):
        done = subprocess.run(
            ["bash", *command],
            env=machine._environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert machine.calls("python")[-1].endswith("-m ipykernel_launcher -f")

    machine.cloud.serve_scripts(archive_of(USERDATA))
    assert "the set-up is complete" in machine.boot()
    assert not [name for name in paths_in_use(machine.root) if name.startswith("lib/")]
