"""Drivers that are there and odd: what a reboot cures, what does not fit, what prints nonsense."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine_bench import STEPS, USERDATA, Machine
from test_driver import begin_with, put_before_the_stubs, reason, verify

MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
LOST = "Unable to determine the device handle for GPU0000:00:1E.0: GPU is lost.  Reboot the system"
ODD_ANSWERS = {
    "nothing": "",
    "not available": "[N/A]",
    "not supported": "[Not Supported], [Not Supported]",
    "German": "Die GPU konnte nicht angesprochen werden: fehlt",
    "several lines": "eins\n\nzwei, drei, vier\n,,,\n",
    "not UTF-8": "\\xff\\xfe\\x80 580",
    "a table": "+----+\n| NVIDIA-SMI 580.178.04 |\n+----+",
}


def answer(machine: Machine, text: str, status: int = 0, when: str = "*") -> None:
    """Let nvidia-smi print this to the questions that the pattern matches, and to no others."""
    ask = f"printf '%b\\n' '{text}'; exit {status}"
    rest = 'exec "$STUBS/nvidia-smi" "$@"'
    put_before_the_stubs(machine, "nvidia-smi", f'case "$*" in {when}) {ask} ;; *) {rest} ;; esac')


def rebooted(machine: Machine, phase: str = "driver") -> None:
    """The next boot is another one, as its id tells."""
    (machine.state / "rebooted-for" / phase).write_text("an earlier boot\n")


@pytest.mark.parametrize(("text", "status"), [(MISMATCH, 18), (LOST, 255)])
def test_reboot_that_cures_the_driver_is_asked_for_once(
    machine: Machine, text: str, status: int
) -> None:
    answer(machine, text, status)
    machine.boot()
    assert "systemctl reboot" in machine.calls("systemctl")
    assert not machine.calls("apt-get") or "nvidia" not in "".join(machine.calls("apt-get"))
    assert machine.cloud.signals == []
    assert text.split(":")[0] in machine.output
    rebooted(machine)
    machine.forget_calls()
    machine.boot()
    assert "systemctl reboot" not in machine.calls("systemctl")
    assert f"nvidia-smi exited {status}: {text.split(':')[0]}" in reason(machine)
    assert "a reboot did not help; stop and start the machine" in reason(machine)


@pytest.mark.tier("all")
def test_machine_goes_on_after_the_reboot_that_cured_its_driver(machine: Machine) -> None:
    answer(machine, MISMATCH, 18)
    machine.boot()
    rebooted(machine)
    machine.environment.clear()
    machine.boot()
    assert [step for step, _ in machine.cloud.signals] == list(STEPS)


def test_lost_gpu_of_a_later_boot_gets_one_reboot_and_then_a_line_at_login(
    finished: Machine,
) -> None:
    answer(finished, LOST, 15)
    finished.boot()
    assert "systemctl reboot" in finished.calls("systemctl")
    for phase in ("driver-check", "gpu"):
        rebooted(finished, phase)
    for _ in range(2):
        finished.forget_calls()
        finished.boot()
        assert "systemctl reboot" not in finished.calls("systemctl")
        notice = finished.read("run/motd.d/gpustation")
        assert "GPU is lost" in notice and "a reboot did not help: stop and start" in notice
    assert "the set-up is complete" in finished.output


def state_of(root: Path, answer: str) -> str:
    """What the phases make of this answer of nvidia-smi, without a machine."""
    (root / "nvidia-smi").write_text(f"#!/bin/bash\n{answer}\n")
    (root / "nvidia-smi").chmod(0o755)
    script = '. "$1/runner/record.sh"; . "$1/gpu/nvidia_smi.sh"; driver_state'
    done = subprocess.run(
        ["bash", "-c", script, "bash", USERDATA],
        env={"PATH": f"{root}:/usr/bin:/bin", "GPUSTATION_SMI_SECONDS": "1"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def first_in_test(first: str, *others: str) -> list[Any]:
    """Rows of one kind: the first in ``make test``, the others in ``make test-all`` alone."""
    return [first, *(pytest.param(one, marks=pytest.mark.tier("all")) for one in others)]


@pytest.mark.parametrize("text", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_odd_answer_is_no_driver_and_no_absence_of_one(tmp_path: Path, text: str) -> None:
    state = state_of(tmp_path, f"printf '%b\\n' '{text}'")
    assert state.startswith("odd nvidia-smi should print the version of the driver, and printed ")


@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("echo 580.178.04; echo 580.178.04", "works 580.178.04"),
        ("printf ' 580.178.04\\r\\n'", "works 580.178.04"),
        ("echo 580.178.04; echo 'WARNING: infoROM is corrupted'; exit 14", "works 580.178.04"),
        ("printf '\\xff\\n580.178.04\\0\\n'", "works 580.178.04"),
        ("exec sleep 600", "hangs nvidia-smi did not answer within 1 s"),
        (
            f"echo 580.178.04; echo '{LOST}'; exit 255",
            "reboot nvidia-smi exited 255: 580.178.04 Un",
        ),
        ("echo '[GPU requires reset]'", "reboot nvidia-smi exited 0: [GPU requires reset]"),
        ("exit 18", "reboot nvidia-smi exited 18: nothing"),
        ("echo 'No devices were found'; exit 6", "none nvidia-smi exited 6: No devices were found"),
        ("exit 127", "none nvidia-smi exited 127: nothing"),
    ],
)
def test_state_of_the_driver(tmp_path: Path, script: str, state: str) -> None:
    assert state_of(tmp_path, script).startswith(state)


def test_odd_answer_ends_the_driver_phase_in_words(machine: Machine) -> None:
    answer(machine, ODD_ANSWERS["not UTF-8"])
    machine.boot()
    assert reason(machine).startswith(
        "phase driver failed: nvidia-smi should print the version of the driver, and printed "
    )
    assert "Traceback" not in reason(machine)
    assert not [call for call in machine.calls("apt-get") if "nvidia" in call]


@pytest.mark.parametrize("text", first_in_test(*ODD_ANSWERS.values()))
def test_odd_answer_for_the_capability_is_left_to_the_verification(text: str) -> None:
    rows = text.encode().decode("unicode_escape").encode("latin-1") + b"\nTesla T4, 7.5\n"
    done = subprocess.run(
        [sys.executable, USERDATA / "gpu/check_capability.py", "mxnet", "580.178.04", "stack"],
        input=rows,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "text", first_in_test("Tesla T4, [Not Supported]", "Tesla T4", *ODD_ANSWERS.values())
)
def test_odd_answer_ends_the_verification_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/bash\nprintf '%b\\n' '{text}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(verify.MissingGpuError, match="should print names and driver versions"):
        verify.seen_by_driver()


def test_program_that_is_no_nvidia_smi_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(verify.MissingGpuError, match="nvidia-smi cannot be run"):
        verify.seen_by_driver()


OLD_DRIVER = """
case $1 in
  --query-gpu=name,driver_version) echo 'Tesla T4, 535.183.01' ;;
  --query-gpu=name,compute_cap) echo 'Tesla T4, 7.5' ;;
  *) echo 535.183.01 ;;
esac"""


def test_driver_too_old_for_the_framework_is_refused_before_the_download(machine: Machine) -> None:
    machine.cloud.settings["framework"] = "pytorch"
    put_before_the_stubs(machine, "nvidia-smi", OLD_DRIVER)
    machine.boot()
    assert reason(machine).startswith(
        "phase driver failed: the NVIDIA driver 535.183.01 of this machine is too old: PyTorch "
    )
    assert "CUDA 13.0, which needs 580 or newer; take another image" in reason(machine)
    assert "or take framework=mxnet, for which it is new enough" in reason(machine)
    assert not machine.calls("uv")


def test_driver_that_suffices_for_the_framework_is_kept(machine: Machine) -> None:
    put_before_the_stubs(machine, "nvidia-smi", OLD_DRIVER)
    machine.boot()
    assert [one["Status"] for _, one in machine.cloud.signals] == ["SUCCESS"] * 3
    assert not [call for call in machine.calls("apt-get") if "nvidia-utils" in call]


def test_another_framework_later_asks_again_whether_the_driver_suffices(finished: Machine) -> None:
    put_before_the_stubs(finished, "nvidia-smi", OLD_DRIVER)
    finished.cloud.settings["framework"] = "pytorch"
    finished.forget_calls()
    finished.boot()
    assert "error: the NVIDIA driver 535.183.01 of this machine is too old: " in finished.output
    assert not finished.calls("uv")


@pytest.mark.parametrize(
    ("loaded", "hint"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.178.04\n", "is the proprietary one"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.178.04\n", ""),
        ("", ""),
    ],
    ids=["proprietary", "open", "unknown"],
)
def test_driver_that_sees_fewer_gpus_is_refused_before_the_download(
    machine: Machine, loaded: str, hint: str
) -> None:
    answer(machine, "580.178.04", when="*gpu=driver_version*")
    if loaded:
        (machine.root / "proc/driver/nvidia").mkdir(parents=True)
        (machine.root / "proc/driver/nvidia/version").write_text(loaded)
    machine.cloud.settings.update(instance_type="g4dn.12xlarge", gpus=4)
    machine.boot()
    assert "the driver 580.178.04 sees 1 of the 4 GPU(s) of this machine" in reason(machine)
    assert hint in reason(machine)
    assert ("they need the open one" in reason(machine)) == bool(hint)
    assert not machine.calls("uv")


def test_module_of_the_other_kind_is_replaced_by_one_reboot(machine: Machine) -> None:
    answer(machine, "No devices were found", 6)
    (machine.root / "proc/driver/nvidia").mkdir(parents=True)
    (machine.root / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01\n"
    )
    machine.boot()
    assert "systemctl reboot" in machine.calls("systemctl")
    rebooted(machine)
    machine.boot()
    assert (
        "NVIDIA's proprietary kernel module is loaded, and this GPU needs the open one: a reboot "
        "did not help" in reason(machine)
    )


FABRIC = "nvidia-fabricmanager"


def run_fabric_manager(machine: Machine, version: str, package: str = f"{FABRIC}-580") -> None:
    """A fabric manager of this version is installed and runs."""
    machine.cloud.settings.update(fabric_manager=True, instance_type="p4d.24xlarge", gpus=8)
    begin_with(machine)
    line = f"installed {package} {version}"
    put_before_the_stubs(
        machine, "dpkg-query", f'[[ "$*" != *{FABRIC}* ]] || exec echo "{line}"\n'
        'exec "$STUBS/dpkg-query" "$@"'
    )  # fmt: skip
    put_before_the_stubs(
        machine, "systemctl", f'[[ "$*" != *is-active*{FABRIC}* ]] || exit 0\n'
        'exec "$STUBS/systemctl" "$@"'
    )  # fmt: skip


def test_fabric_manager_of_another_version_is_replaced(machine: Machine) -> None:
    run_fabric_manager(machine, "580.159.03-0ubuntu0.24.04.1")
    machine.boot()
    assert f" {FABRIC}-580=580.178.04-0ubuntu0.24.04.1" in "".join(machine.calls("apt-get"))
    assert f"systemctl restart {FABRIC}.service" in machine.calls("systemctl")


@pytest.mark.parametrize("package", first_in_test(f"{FABRIC}-580", FABRIC))
def test_fabric_manager_of_the_drivers_version_is_kept(machine: Machine, package: str) -> None:
    run_fabric_manager(machine, "580.178.04-1", package)
    machine.boot()
    assert FABRIC not in "".join(machine.calls("apt-get"))
    assert [one["Status"] for _, one in machine.cloud.signals] == ["SUCCESS"] * 3


def test_fabric_manager_follows_the_branch_of_the_images_driver(machine: Machine) -> None:
    machine.cloud.settings.update(fabric_manager=True, instance_type="p4d.24xlarge", gpus=8)
    driver = "for _ in {1..8}; do echo 595.91.07; done"
    put_before_the_stubs(machine, "nvidia-smi", f'[[ "$*" != *compute_cap* ]] && {driver}')
    put_before_the_stubs(
        machine, "apt-cache", "printf ' %s | 595.91.07-1 | stub\\n' \"$2\""
    )  # fmt: skip
    machine.boot()
    assert f" {FABRIC}-595=595.91.07-1" in "".join(machine.calls("apt-get"))


def test_fails_when_no_fabric_manager_is_of_the_drivers_version(machine: Machine) -> None:
    machine.cloud.settings.update(fabric_manager=True, instance_type="p4d.24xlarge", gpus=8)
    put_before_the_stubs(machine, "apt-cache", "printf ' %s | 580.178.041-1 | stub\\n' \"$2\"")
    machine.boot()
    assert (
        f"the archive has no {FABRIC}-580 of version 580.178.04, which the NVSwitches of this "
        "type need and which must be the driver's own" in reason(machine)
    )


@pytest.mark.parametrize("command", first_in_test("systemctl", "modprobe"))
def test_command_of_the_driver_that_hangs_is_named(machine: Machine, command: str) -> None:
    machine.cloud.settings.update(fabric_manager=True, instance_type="p4d.24xlarge", gpus=8)
    hang = '[[ "$*" != *nvidia* || "$*" == *is-active* ]] || exec sleep 600'
    put_before_the_stubs(machine, command, f'{hang}\nexec "$STUBS/{command}" "$@"')
    machine.environment["GPUSTATION_LOAD_SECONDS"] = "1"
    machine.boot()
    wanted = f"phase driver failed: {command} "
    assert reason(machine).startswith(wanted)
    assert "nvidia" in reason(machine).partition(" did not end within 1 s, the GPU or its")[0]


def replace_python(machine: Machine, script: str) -> None:
    """Another Python of the environment, and nothing verified yet."""
    python = machine.root / "opt/gpustation/env/bin/python"
    python.unlink()
    python.write_text(f"#!/bin/bash\n{script}\n")
    python.chmod(0o755)
    (machine.state / "done/verify").unlink()
    (machine.state / "signaled/gpu").unlink()


def last_reason(machine: Machine) -> str:
    sent: dict[str, Any] = machine.cloud.signals[-1][1]
    assert sent["UniqueId"] == "verify"
    return str(sent["Reason"])


def test_all_reduce_that_hangs_is_named(finished: Machine) -> None:
    said = "verify.py: computing on cuda:0\\nverify.py: the all-reduce over 8 devices\\n"
    replace_python(finished, f"printf '{said}' >&2; exec sleep 600")
    finished.environment["GPUSTATION_VERIFY_SECONDS"] = "1"
    finished.boot()
    assert last_reason(finished).startswith(
        "phase verify failed: verify.py gpu did not end within 1 s: a GPU, or what connects the "
        "GPUs, hangs in: the all-reduce over 8 devices; stop and start the machine"
    )


@pytest.mark.parametrize("output", first_in_test("", "null", "[1]", "{}", '{"device": 1}', "\\xff"))
@pytest.mark.tier("all")
def test_verification_without_a_result_ends_in_words(finished: Machine, output: str) -> None:
    trace = (
        'Traceback (most recent call last):\\n  File "x.py", line 1\\nRuntimeError: CUDA error\\n'
    )
    replace_python(finished, f"printf '{trace}' >&2; printf '{output}'; exit 134")
    finished.boot()
    assert last_reason(finished).startswith(
        "phase verify failed: command verify.py gpu exited 134: verify.py ended without a result"
    )
    assert "Traceback" not in last_reason(finished) and "x.py" not in last_reason(finished)
    assert "RuntimeError: CUDA error" in last_reason(finished)
