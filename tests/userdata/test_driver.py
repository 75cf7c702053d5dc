"""The driver for the kernel that runs, for the kernel that boots next, and a GPU that hangs."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from machine_bench import STEPS, STUBS, USERDATA, Machine

SPEC = importlib.util.spec_from_file_location("verify", USERDATA / "phases/60-verify-gpu/verify.py")
assert SPEC is not None and SPEC.loader is not None
verify = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(verify)

#: Kernels of the archive of the stubs: the first has a module that fits the driver, the second not.
OLDER, STALE, NEWEST = "6.8.0-1069-aws", "6.8.0-1000-aws", "6.8.0-1070-aws"
MODULES = "linux-modules-nvidia-580-server-open"
OFFLINE = {
    "apt-get": {"exit": 100, "stderr": "E: Failed to fetch http://archive/", "when": "update"}
}


def installed(machine: Machine) -> list[str]:
    """Every package that apt installed, in order."""
    return machine.read("var/lib/localaws/packages").split()


def begin_with(machine: Machine, *packages: str) -> None:
    """Packages that the machine has before its first boot."""
    listed = machine.root / "var/lib/localaws/packages"
    for folder in (listed.parent, machine.root / "var/log"):
        folder.mkdir(parents=True)
    listed.write_text("".join(f"{name}\n" for name in packages))


def put_before_the_stubs(machine: Machine, name: str, script: str) -> None:
    """Another command in place of a stub; its PATH finds the stub as $STUBS/NAME."""
    folder = machine.root / "front"
    folder.mkdir(exist_ok=True)
    command = folder / name
    command.write_text(f"#!/bin/bash\nSTUBS={shlex.quote(str(STUBS))}\n{script}\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    machine.environment["PATH"] = f"{folder}:{STUBS}:{os.environ['PATH']}"


def reason(machine: Machine) -> str:
    step, sent = machine.cloud.signals[-1]
    assert (step, sent["Status"], sent["UniqueId"]) == ("driver", "FAILURE", "driver")
    return str(sent["Reason"])


@pytest.mark.tier("all")
def test_module_that_no_longer_fits_the_driver_is_replaced_by_one_reboot(machine: Machine) -> None:
    machine.environment.update(LOCALAWS_KERNEL=STALE, GPUSTATION_RETRY_SECONDS="60")
    machine.boot()
    assert "trying again" not in machine.output, "what apt cannot install is not tried again"
    assert "systemctl reboot" in machine.calls("systemctl")
    assert f"{MODULES}-aws" in installed(machine)
    assert machine.cloud.signals == []
    machine.boot()
    assert [step for step, _ in machine.cloud.signals] == list(STEPS)


def test_fails_at_once_when_the_newest_kernels_module_does_not_fit_either(machine: Machine) -> None:
    machine.environment.update(LOCALAWS_KERNEL=STALE, GPUSTATION_RETRY_SECONDS="60")
    unmet = f" {MODULES}-{NEWEST} : Depends: nvidia-kernel-common-580-server (>= 580.178.04)"
    machine.boot({"apt-get": {"exit": 100, "stderr": unmet, "when": f"{MODULES}-aws"}})
    assert reason(machine).startswith(
        f"phase driver failed: apt can install no NVIDIA module for kernel {STALE} or a newer one. "
        "Ubuntu's archive may be between two drivers: try again in some hours, or take an image "
        f"with a driver (image=dlami). apt: {unmet.strip()}"
    )
    assert "systemctl reboot" not in machine.calls("systemctl")


def test_fails_with_apts_reason_when_one_reboot_did_not_help(machine: Machine) -> None:
    machine.environment["LOCALAWS_KERNEL"] = STALE
    machine.boot()
    (machine.root / "var/lib/localaws/rebooted").unlink()
    # The power went before that reboot: it has not been tried yet
    machine.boot()
    assert machine.cloud.signals == []
    (machine.root / "var/lib/localaws/rebooted").unlink()
    (machine.state / "rebooted-for/driver").write_text("an earlier boot\n")
    machine.boot()
    assert reason(machine).startswith(
        f"phase driver failed: no NVIDIA module can be installed for kernel {STALE}, which runs "
        f"after the reboot too: {MODULES}-{STALE} : Depends: nvidia-kernel-common-580-server (<= "
    )


@pytest.mark.parametrize(
    ("kernel", "meta"),
    [("6.8.0-45-generic", "generic-hwe-22.04"), ("5.15.0-100-generic", "generic")],
)
def test_meta_package_is_that_of_the_running_kernels_series(
    machine: Machine, kernel: str, meta: str
) -> None:
    """The other one brings a kernel that does not boot, or moves the machine to another series."""
    machine.environment["LOCALAWS_KERNEL"] = kernel
    (machine.root / "etc").mkdir()
    (machine.root / "etc/os-release").write_text('NAME="Ubuntu"\nVERSION_ID="22.04"\n')
    machine.boot()
    metas = [name for name in installed(machine) if name.startswith(f"{MODULES}-g")]
    assert metas == [f"{MODULES}-{meta}"]


def test_fails_when_a_kernel_without_module_would_boot_instead(machine: Machine) -> None:
    machine.environment["LOCALAWS_KERNEL"] = STALE
    begin_with(machine, "linux-image-7.0.0-1-aws")
    machine.boot()
    assert f"{MODULES}-aws is for kernel {NEWEST}, but 7.0.0-1-aws boots." in reason(machine)
    assert "systemctl reboot" not in machine.calls("systemctl")


KEPT_BACK = [
    *("linux-image-6.8.0-1070-aws", "linux-headers-aws", "linux-modules-extra-6.8.0-1070-aws"),
    *("linux-modules-nvidia-580-server-open-aws", "linux-aws", "linux-generic-hwe-22.04"),
    *("nvidia-utils-580-server", "libnvidia-compute-580-server", "nvidia-fabricmanager-580"),
    *("nvidia-kernel-common-580-server", "nvidia-firmware-580-server-580.178.04"),
    *("nvidia-driver-580", "nvidia-dkms-580", "xserver-xorg-video-nvidia-580"),
]
GO_ON = [
    *("linux-libc-dev", "linux-firmware", "linux-base", "linux-tools-common", "openssl"),
    *("libnvidia-container1", "libnvidia-container-tools", "nvidia-container-toolkit"),
    *("nvidia-docker2", "nvidia-cuda-toolkit", "nvidia-settings", "nvidia-prime"),
]
"""Packages with such names in which security faults were cured, and that no driver needs as they
are (Ubuntu's and NVIDIA's archives)."""


def test_unattended_upgrades_pass_over_kernel_and_driver_and_nothing_else(machine: Machine) -> None:
    machine.boot()
    written = machine.read("etc/apt/apt.conf.d/52gpustation")
    patterns = [re.compile(found) for found in re.findall(r'^  "(.+)";$', written, re.MULTILINE)]
    passed_over = [name for name in KEPT_BACK + GO_ON if any(p.match(name) for p in patterns)]
    assert passed_over == KEPT_BACK


def test_only_kernel_and_driver_are_held(machine: Machine) -> None:
    # What dpkg-query's patterns find
    named = [name for name in KEPT_BACK + GO_ON if "nvidia" in name or "linux-" in name[:6]]
    packages = machine.root / "var/lib/localaws/packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("\n".join(n for n in named if "linux-" not in n or n in KEPT_BACK) + "\n")
    machine.boot()
    held = machine.calls("apt-mark")[0].split()
    assert not [name for name in GO_ON if name in held]
    assert [name for name in KEPT_BACK if name not in held] == []


@pytest.mark.tier("all")
def test_newer_kernel_that_came_before_the_hold_gets_the_module_too(machine: Machine) -> None:
    machine.environment["LOCALAWS_KERNEL"] = OLDER
    begin_with(machine, f"linux-image-unsigned-{NEWEST}")
    machine.boot()
    assert {f"{MODULES}-{OLDER}", f"{MODULES}-{NEWEST}"} <= set(installed(machine))
    held = machine.calls("apt-mark")[0]
    assert f"{MODULES}-{NEWEST}" in held and f"linux-image-unsigned-{NEWEST}" in held
    machine.environment.clear()
    machine.forget_calls()
    machine.boot()
    assert not machine.calls("apt-get"), "the other kernel has its driver"
    assert "no GPU" not in machine.output


@pytest.mark.tier("all")
def test_newer_kernel_without_a_module_is_a_warning(machine: Machine) -> None:
    begin_with(machine, "linux-image-7.0.0-1-aws")
    machine.boot()
    data = machine.cloud.signals[-1][1]["Data"]
    assert "; warning: kernel 7.0.0-1-aws boots next and has no NVIDIA module: " in data


def test_unattended_upgrades_are_kept_away_before_anything_else(machine: Machine) -> None:
    machine.boot(OFFLINE)
    assert machine.cloud.signals[0][1]["UniqueId"] == "system"
    assert '"linux-(?!' in machine.read("etc/apt/apt.conf.d/52gpustation")
    assert "^gpustation" in machine.read("etc/needrestart/conf.d/gpustation.conf")


def test_driver_is_installed_again_for_another_kernel(finished: Machine) -> None:
    finished.environment["LOCALAWS_KERNEL"] = OLDER
    finished.boot()
    assert f"{MODULES}-{OLDER}" in installed(finished)
    assert f"with kernel {OLDER}" in finished.read("var/lib/gpustation/facts/driver")
    assert "the set-up is complete" in finished.output
    assert not (finished.root / "run/motd.d/gpustation").exists()
    finished.forget_calls()
    finished.boot()
    assert not finished.calls("apt-get")


def test_another_kernel_without_a_module_reboots_into_the_newest(finished: Machine) -> None:
    finished.environment["LOCALAWS_KERNEL"] = STALE
    finished.boot()
    assert "systemctl reboot" in finished.calls("systemctl")
    finished.boot()
    assert "the set-up is complete" in finished.output
    assert "no GPU" not in finished.output


@pytest.mark.tier("all")
def test_driver_that_cannot_be_installed_again_is_a_warning(finished: Machine) -> None:
    finished.environment["LOCALAWS_KERNEL"] = OLDER
    finished.boot(OFFLINE)
    notice = finished.read("run/motd.d/gpustation")
    assert notice.startswith(f"gpustation: no GPU: kernel {OLDER} and the NVIDIA driver do not fit")
    assert "; installing it for this kernel failed (apt-get " in notice
    assert "the set-up is complete" in finished.output
    assert not (finished.state / "failure.json").exists()


@pytest.mark.tier("all")
def test_nouveau_is_got_rid_of_by_one_reboot(machine: Machine) -> None:
    modules = machine.root / "proc/modules"
    modules.parent.mkdir()
    modules.write_text("nouveau 2494464 3 - Live 0x0\n")
    machine.boot()
    assert "systemctl reboot" in machine.calls("systemctl")
    assert not machine.calls("modprobe")
    (machine.state / "rebooted-for/driver").write_text("an earlier boot\n")
    machine.boot()
    assert "nouveau (or nova) still holds the GPU after a reboot" in reason(machine)


def test_hung_driver_ends_the_first_boot_in_one_line(machine: Machine) -> None:
    put_before_the_stubs(machine, "nvidia-smi", "exec sleep 600")
    machine.environment["GPUSTATION_SMI_SECONDS"] = "1"
    machine.boot()
    assert reason(machine).startswith(
        "phase driver failed: nvidia-smi did not answer within 1 s, the GPU or its driver hangs: "
        "stop and start the machine"
    )


@pytest.mark.tier("all")
def test_hung_driver_does_not_hold_up_a_later_boot(finished: Machine) -> None:
    put_before_the_stubs(finished, "nvidia-smi", "exec sleep 600")
    finished.environment["GPUSTATION_SMI_SECONDS"] = "1"
    finished.boot()
    assert "the set-up is complete" in finished.output
    assert "no GPU: nvidia-smi did not answer within 1 s" in finished.read("run/motd.d/gpustation")


def test_hung_verification_has_an_end(finished: Machine) -> None:
    python = finished.root / "opt/gpustation/env/bin/python"
    python.unlink()
    python.write_text("#!/bin/sh\nexec sleep 600\n")
    python.chmod(0o755)
    (finished.state / "done/verify").unlink()
    (finished.state / "signaled/gpu").unlink()
    finished.environment["GPUSTATION_VERIFY_SECONDS"] = "1"
    finished.boot()
    sent: dict[str, Any] = finished.cloud.signals[-1][1]
    assert sent["Reason"].startswith(
        "phase verify failed: verify.py gpu did not end within 1 s: a GPU, or what connects"
    )


@pytest.mark.tier("all")
def test_damaged_inforom_is_no_failure(machine: Machine) -> None:
    warn = "echo 'WARNING: infoROM is corrupted at gpu 0000:00:1E.0'; exit 14"
    script = f'"$STUBS/nvidia-smi" "$@"; status=$?; ((status == 0)) || exit "$status"; {warn}'
    put_before_the_stubs(machine, "nvidia-smi", script)
    machine.boot()
    assert [one["Status"] for _, one in machine.cloud.signals] == ["SUCCESS"] * 3


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 'Tesla T4, 580.178.04'; echo 'WARNING: infoROM is corrupted'; exit 14", "Tesla T4"),
        ("exec sleep 600", "nvidia-smi did not answer within 1 s"),
    ],
)
def test_verification_asks_the_driver_likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, found: str
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/bash\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(verify, "SMI_SECONDS", 1)
    try:
        names, driver = verify.seen_by_driver()
    except verify.MissingGpuError as error:
        assert str(error) == found
    else:
        assert (names, driver) == ([found], "580.178.04")
