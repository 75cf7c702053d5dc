"""An image: what install.sh --for-image leaves, what image.sh takes away, what a machine finds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloud_bench import Cloud, running_cloud
from machine_bench import SETTINGS, STUBS, USERDATA, Machine

from localaws.machines.records import give_home

PERSON = "nobody"
SECRETS = {
    "etc/ssh/ssh_host_ed25519_key": "host key",
    "etc/ssh/ssh_host_ed25519_key.pub": "host key",
    "root/.ssh/authorized_keys": "key of root",
    "home/ubuntu/.ssh/authorized_keys": "key of a person",
    "home/ubuntu/.ssh/id_ed25519": "private key",
    "home/ubuntu/.aws/credentials": "aws_secret_access_key",
    "home/ubuntu/.bash_history": "export TOKEN=",
    "root/.python_history": "token",
    "home/ubuntu/.local/share/jupyter/runtime/jpserver-1.json": "token",
    "home/ubuntu/.ipython/profile_default/history.sqlite": "x",
    "var/lib/cloud/instances/i-0/user-data.txt": "signal address",
    "var/lib/cloud/data/instance-id": "i-0",
    "var/lib/systemd/credential.secret": "secret of systemd",
    "var/lib/dbus/machine-id": "machine of the build",
    "etc/machine-id": "machine of the build",
}
TRACES = {
    "var/lib/systemd/random-seed": "seed of the build",
    "var/log/cloud-init.log": "log of the build",
    "var/lib/apt/lists/archive_Packages": "list of packages",
    "var/cache/apt/pkgcache.bin": "cache of apt",
}
#: What a machine goes on with, whoever it is.
KEPT = {
    "done/system",
    "done/environment",
    "done/notebooks",
    "facts/driver",
    "facts/environment",
    "environment-complete",
    "loaded-files",
}


class Bake:
    """A build machine; it becomes the disk of the machines of its image."""

    def __init__(self, root: Path, cloud: Cloud) -> None:
        self.machine = Machine(root, cloud)
        self.root = root
        for path, text in (SECRETS | TRACES).items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        device = root / "sys/bus/pci/devices/0000:00:1e.0"
        device.mkdir(parents=True)
        for name, value in (("vendor", "0x10de"), ("class", "0x030200"), ("device", "0x1eb8")):
            (device / name).write_text(value)
        give_home(root)

    def run(self, *command: str | Path, status: int = 0) -> str:
        done = subprocess.run(
            ["bash", *command],
            env=self.machine._environment({}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        text = done.stdout + done.stderr
        assert done.returncode == status, text
        return text

    def install(self, *options: str) -> str:
        """What install.sh does, without the unit: that alone needs root."""
        words = ("--framework", "mxnet", "--user", PERSON, *options)
        done = subprocess.run(
            [sys.executable, USERDATA / "install/standalone.py", *words],
            env=self.machine._environment({}),
            capture_output=True,
            text=True,
            check=True,
        )
        settings = json.loads(done.stdout) | {"user": "ubuntu", "home": "/home/ubuntu"}
        (self.root / "opt/gpustation").mkdir(parents=True, exist_ok=True)
        self.machine.state.mkdir(parents=True, exist_ok=True)
        (self.machine.state / "settings.json").write_text(json.dumps(settings))
        return self.run(USERDATA / "run.sh")

    def image(self, verb: str, status: int = 0) -> str:
        return self.run(USERDATA / "image.sh", verb, status=status)

    def files(self) -> dict[str, str]:
        """Every file of the disk that is not the machinery of the stubs."""
        return {
            str(path.relative_to(self.root)): path.read_text(errors="replace")
            for path in self.root.rglob("*")
            if path.is_file() and "localaws" not in str(path) and "stub" not in path.name
        }


@pytest.fixture
def bake(tmp_path: Path, cloud: Cloud) -> Bake:
    return Bake(tmp_path, cloud)


@pytest.fixture
def baked(bake: Bake) -> Bake:
    bake.install("--for-image")
    # Listed by the verb that runs install.sh, which needs root
    (bake.machine.state / "loaded-files").write_text("/opt/gpustation/env/lib/library.so\n")
    bake.image("clean")
    return bake


def test_for_image_leaves_out_the_verification(bake: Bake) -> None:
    said = bake.install("--for-image")
    assert "the set-up is complete but for phase verify" in said
    assert "phase verify started" not in said
    assert any("await_jupyter.py" in call for call in bake.machine.calls("python"))
    assert any("ec2-instance-connect" in call for call in bake.machine.calls("apt-get"))


def test_without_it_all_phases_run_and_ec2s_package_stays_away(bake: Bake) -> None:
    assert "phase verify finished" in bake.install()
    assert not any("ec2-instance-connect" in call for call in bake.machine.calls("apt-get"))


def test_a_clean_image_holds_no_secret(bake: Bake) -> None:
    bake.install("--for-image")
    token = bake.machine.read("var/lib/gpustation/jupyter-token")
    bake.image("clean")
    files = bake.files()
    assert [path for path in SECRETS | TRACES if path in files] == ["etc/machine-id"]
    assert files["etc/machine-id"] == ""
    everything = "".join(files.values())
    for secret in (token, *SECRETS.values(), *TRACES.values()):
        if len(secret) > 6:
            assert secret not in everything


def test_a_clean_image_keeps_the_marks_of_what_is_installed_and_nothing_else(baked: Bake) -> None:
    state = baked.machine.state
    assert {str(p.relative_to(state)) for p in state.rglob("*") if p.is_file()} == KEPT
    kept = sorted(path.name for path in (baked.root / "opt/gpustation").iterdir())
    assert kept == ["env", "python", "uv"]


def test_nothing_of_the_build_starts_on_a_machine_of_the_image(bake: Bake) -> None:
    units = bake.root / "etc/systemd/system"
    bake.install("--for-image")
    (units / "gpustation.service").write_text("[Install]\nWantedBy=multi-user.target\n")
    said = bake.image("clean")
    for unit in ("gpustation.service", "gpustation-jupyter.service"):
        assert f"+ systemctl disable --now {unit}" in said
    assert not list(units.glob("gpustation*"))


def test_a_machine_of_the_image_installs_nothing_again(baked: Bake, cloud: Cloud) -> None:
    (baked.root / "var/log").mkdir(exist_ok=True)
    baked.machine.boot()
    assert "the set-up is complete" in baked.machine.output
    assert not baked.machine.calls("apt-get")
    assert not baked.machine.calls("uv")
    assert not baked.machine.calls("git")
    ready = cloud.signals[-1][1]["Data"]
    assert "MXNet 1.9.1 computed on every GPU (driver " in ready
    assert "system" not in ready and "environment" not in ready
    assert "CUDA 11.8 libraries" in cloud.signals[1][1]["Data"]
    (warmed,) = baked.machine.calls("systemd-run")
    assert warmed.endswith("/phases/04-warm-files/warm-files.sh")
    baked.image("check-reuse")


@pytest.mark.tier("all")
def test_files_that_an_image_brought_are_warmed_once(baked: Bake) -> None:
    baked.machine.boot()
    baked.machine.boot()
    assert len(baked.machine.calls("systemd-run")) == 1


@pytest.mark.parametrize(
    "changed",
    [{"framework": "pytorch"}, pytest.param({"notebooks": True}, marks=pytest.mark.tier("all"))],
)
def test_a_machine_with_other_settings_installs_what_is_missing(
    bake: Bake, cloud: Cloud, changed: dict[str, object]
) -> None:
    bake.install("--for-image", "--no-notebooks")
    bake.image("clean")
    cloud.settings.update({"notebooks": False, **changed})
    bake.machine.boot()
    assert bool(bake.machine.calls("uv")) == ("framework" in changed)
    assert bool(bake.machine.calls("git")) == ("notebooks" in changed)


def test_the_tests_machine_is_verified_and_reuses_the_image(baked: Bake) -> None:
    (baked.root / "etc/machine-id").write_text("machine of the test\n")
    said = baked.install()
    assert "phase verify finished" in said
    assert "phase environment started" not in said
    baked.image("check-reuse")


@pytest.mark.tier("all")
def test_fails_when_a_machine_of_the_image_installs_again(baked: Bake) -> None:
    (baked.machine.state / "done/environment").unlink()
    baked.install()
    assert "phase environment was run again" in baked.image("check-reuse", status=78)


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bake]:
    """A clean image, to which a test adds what must be found."""
    with running_cloud() as cloud:
        bake = Bake(tmp_path_factory.mktemp("checked"), cloud)
        bake.install("--for-image")
        bake.image("clean")
        yield bake


def test_check_passes_on_a_clean_image(checked: Bake) -> None:
    assert "the image holds MXNet 1.9.1" in checked.image("check")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if number % 4 == 0 else pytest.mark.tier("all"))
        for number, path in enumerate(SECRETS)
    ],
)
def test_fails_when_a_secret_is_left(checked: Bake, path: str) -> None:
    file = checked.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("left")
    give_home(checked.root)
    assert "the image would hold " in checked.image("check", status=78)
    checked.image("clean")
    checked.image("check")


@pytest.mark.parametrize("phase", ["system", "environment"])
def test_fails_when_a_part_is_missing(checked: Bake, phase: str) -> None:
    mark = checked.machine.state / "done" / phase
    text = mark.read_text()
    mark.unlink()
    assert f"phase {phase} left no mark" in checked.image("check", status=78)
    mark.write_text(text)


def test_fails_on_a_wrong_verb(bake: Bake) -> None:
    assert "usage: image.sh install" in bake.run(USERDATA / "image.sh", "scrub", status=78)


@pytest.mark.parametrize(("ended", "status"), [(0, 0), (1, 1), (3, 194)])
def test_image_builder_is_asked_for_a_reboot_in_its_own_way(
    bake: Bake, tmp_path: Path, ended: int, status: int
) -> None:
    """At 194 it reboots the machine and runs the step again."""
    scripts = tmp_path / "scripts"
    shutil.copytree(USERDATA, scripts)
    (scripts / "install.sh").write_text(f'echo "told: $*"\nexit {ended}\n')
    said = bake.run(scripts / "image.sh", "install", "--framework", "mxnet", status=status)
    assert "told: --for-image --framework mxnet" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="install.sh wants root")
def test_install_sh_says_what_it_left_out(bake: Bake) -> None:
    (bake.root / "nonexistent").mkdir()  # the home of nobody
    said = bake.run(
        USERDATA / "install.sh", "--for-image", "--framework", "mxnet", "--user", PERSON
    )
    assert "install.sh: all but the GPU's verification is done: MXNet 1.9.1" in said


def test_digests_of_an_image_are_those_of_a_stack(bake: Bake) -> None:
    bake.install("--for-image")
    marks = {p: bake.machine.read(f"var/lib/gpustation/done/{p}") for p in ("system", "notebooks")}
    (bake.machine.state / "settings.json").write_text(json.dumps(SETTINGS))
    asked = subprocess.run(
        [
            sys.executable,
            USERDATA / "runner/settings.py",
            "digest",
            "3 framework",
            "1 framework notebooks",
        ],
        env=bake.machine._environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.split() == [marks[name].strip() for name in ("system", "notebooks")]


def test_what_downloads_goes_where_install_sh_was_told(bake: Bake, tmp_path: Path) -> None:
    proxy, index = "http://me:secret@proxy.example:3128", "https://mirror.example/simple"
    spies = tmp_path / "spies"
    spies.mkdir()
    for name in ("apt-get", "git"):
        spy = spies / name
        spy.write_text(f'#!/bin/sh\nenv >>"{tmp_path}/{name}"\nexec "{STUBS}/{name}" "$@"\n')
        spy.chmod(0o755)
    bake.machine.environment["PATH"] = f"{spies}:{STUBS}:{os.environ['PATH']}"
    told = bake.install("--proxy", proxy, "--package-index", index)
    assert "secret" not in told
    for name in ("apt-get", "git"):
        seen = set((tmp_path / name).read_text().splitlines())
        assert {f"https_proxy={proxy}", f"HTTP_PROXY={proxy}", f"PIP_INDEX_URL={index}"} <= seen
        assert f"UV_DEFAULT_INDEX={index}" in seen
        direct = next(line for line in seen if line.startswith("NO_PROXY="))
        assert {"localhost", "127.0.0.1", "169.254.169.254"} <= set(direct[9:].split(","))
    own = bake.root / "etc/gpustation/network.env"
    assert own.stat().st_mode & 0o777 == 0o600
    assert f"https_proxy={proxy}\n" in own.read_text()
    unit = bake.machine.read("etc/systemd/system/gpustation-jupyter.service")
    assert f"EnvironmentFile=-{own}\n" in unit
    # Nothing of it is in an image
    bake.image("clean")
    assert not own.exists()
    # Taken back, at the next run
    bake.install("--proxy", "none", "--package-index", "none")
    assert own.read_text() == ""
