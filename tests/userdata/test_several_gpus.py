"""Machines with several GPUs: which one failed is named, and one that is missing is noticed.

No GPU is here. What a framework does on several devices is shown where it is installed: MXNet's
CPU build in ``tests/boot/test_several_gpus_boot.py``, PyTorch's in ``test_real_gpu_wheels.py``.
"""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from machine_bench import USERDATA, Machine
from test_driver import put_before_the_stubs, verify
from test_verified_versions import pytorch

__all__ = ["pytorch"]

SCRIPT = USERDATA / "phases/60-verify-gpu/describe_result.py"
BUS = "for i in 1B 1C 1D 1E; do echo 00000000:00:$i.0; done"


class Device:
    """One of PyTorch's devices."""

    type = "cuda"

    def __init__(self, index: int) -> None:
        self.index = index

    def __str__(self) -> str:
        return f"cuda:{self.index}"


class Framework(types.ModuleType):
    """A framework whose devices fail as planned."""

    def __init__(self, faults: dict[int, BaseException]) -> None:
        super().__init__("framework")
        self.faults, self.computed = faults, list[str]()

    def compute(self, context: str) -> None:
        self.computed.append(context)
        if fault := self.faults.get(len(self.computed) - 1):
            raise fault


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/bash\n{BUS}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(verify, "TRACE", tmp_path / "trace.log")
    yield command


def devices(count: int) -> list[str]:
    return [f"cuda:{index}" for index in range(count)]


def failure(faults: dict[int, BaseException], count: int = 4) -> tuple[str, Framework]:
    framework = Framework(faults)
    with pytest.raises(SystemExit) as raised:
        verify.compute_on_each(framework, devices(count))
    return str(raised.value.code), framework


def test_every_gpu_that_fails_is_named_with_its_place(smi: Path) -> None:
    wrong = "the matrix product on cuda:1 is off by 0.5 of its largest value, more than 0.01"
    text, framework = failure({1: SystemExit(wrong), 3: RuntimeError("CUDA error: 719")})
    assert text == (
        "2 of 4 devices failed: cuda:1 at 00000000:00:1C.0, cuda:3 at 00000000:00:1E.0; the first "
        f"because: {wrong}"
    )
    assert framework.computed == devices(4), "the others are tried as well"
    assert "CUDA error: 719" in verify.TRACE.read_text()


def test_a_gpu_without_a_known_place_is_named_by_its_number(smi: Path) -> None:
    smi.write_text("#!/bin/bash\necho '[N/A]'\n")
    assert failure({2: RuntimeError("it broke")})[0] == (
        "1 of 4 devices failed: cuda:2; the first because: RuntimeError: it broke"
    )
    smi.unlink()
    assert failure({2: RuntimeError("it broke")})[0].startswith("1 of 4 devices failed: cuda:2; ")


def test_of_one_gpu_only_the_reason_is_told(smi: Path) -> None:
    assert failure({0: SystemExit("it is off")}, 1)[0] == "it is off"


def test_devices_that_compute_raise_nothing() -> None:
    verify.compute_on_each(Framework({}), devices(8))


def test_the_all_reduce_comes_after_every_device_has_computed(monkeypatch: Any) -> None:
    order: list[str] = []
    framework = types.SimpleNamespace(
        count_gpus=lambda: 4,
        contexts=lambda device, count: devices(count),
        compute=order.append,
        reduce=lambda contexts: order.append(f"all {len(contexts)}"),
        versions=lambda device: {},
    )
    monkeypatch.setattr(verify, "seen_by_driver", lambda: (["Tesla T4"] * 4, "580.1"))
    monkeypatch.setattr(verify, "load_framework", lambda name: framework)
    result = verify.verify("gpu", {"gpus": 4, "framework": "x"})
    assert order == [*devices(4), "all 4"]
    assert result["devices"] == ["Tesla T4"] * 4
    with pytest.raises(verify.MissingGpuError, match=r"has 8 GPU\(s\), the driver sees 4"):
        verify.verify("gpu", {"gpus": 8, "framework": "x"})


def test_the_sentence_of_several(tmp_path: Path) -> None:
    import json

    def sentence(count: int) -> str:
        result = {"device": "gpu", "devices": ["Tesla T4"] * count, "versions": {"NCCL": "2.21.5"}}
        (tmp_path / "result").write_text(json.dumps(result))
        words = [sys.executable, str(SCRIPT), str(tmp_path / "result")]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    assert sentence(4) == (
        "4 x Tesla T4 ready: NCCL 2.21.5 computed on every GPU, and an all-reduce over 4"
    )
    assert sentence(1) == "1 x Tesla T4 ready: NCCL 2.21.5 computed on every GPU"


# PyTorch's processes


def ranks(pytorch: types.ModuleType, folder: Path, script: str) -> Any:
    """Runs the all-reduce with a script as each of its processes; ``$3`` is the rank."""
    program = folder / "rank"
    program.write_text(f"#!/bin/bash\necho $$ >>{folder}/pids\n{script}\n")
    program.chmod(0o755)
    with mock.patch.object(pytorch.sys, "executable", str(program)):
        pytorch.reduce([Device(index) for index in range(3)])


def assert_gone(folder: Path) -> None:
    pids = (folder / "pids").read_text().split()
    assert len(pids) == 3
    assert not [pid for pid in pids if Path("/proc", pid).exists()]


def test_all_ranks_end_well(pytorch: types.ModuleType, tmp_path: Path) -> None:
    ranks(pytorch, tmp_path, f'printf "%s " "$@" >>{tmp_path}/words; exit 0')
    words = (tmp_path / "words").read_text()
    assert f"-I {USERDATA}/phases/60-verify-gpu/verify_pytorch.py " in words
    assert "cuda" in words.split()
    assert_gone(tmp_path)


def test_the_rank_that_fails_is_named_and_ends_the_others(
    pytorch: types.ModuleType, tmp_path: Path
) -> None:
    fails = "[[ $3 == 1 ]] || exec sleep 600; sleep 1; echo '7 of 9 sums are wrong'; exit 1"
    with pytest.raises(SystemExit, match=r"failed on cuda:1: 7 of 9 sums are wrong"):
        ranks(pytorch, tmp_path, fails)
    assert_gone(tmp_path)


def test_a_rank_that_crashes_is_named_by_its_status(
    pytorch: types.ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"failed on cuda:2: exit status -11"):
        ranks(pytorch, tmp_path, "[[ $3 == 2 ]] || exec sleep 600; sleep 1; kill -SEGV $$")
    assert_gone(tmp_path)


def test_ranks_that_hang_are_given_up(
    pytorch: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "REDUCE_SECONDS", 3)
    with pytest.raises(SystemExit, match=r"did not end within 3 s on the devices 1, 2"):
        ranks(pytorch, tmp_path, "[[ $3 == 0 ]] && exit; exec sleep 600")
    assert_gone(tmp_path)


# The check of every boot


def see(machine: Machine, count: int) -> str:
    """Boot with a driver that sees so many GPUs; returns the message at login."""
    script = 'shown=$("$STUBS/nvidia-smi" "$@"); status=$?; head -n {} <<<"$shown"; exit $status'
    put_before_the_stubs(machine, "nvidia-smi", script.format(count))
    machine.boot()
    notice = machine.root / "run/motd.d/gpustation"
    return notice.read_text() if notice.exists() else ""


def test_a_gpu_that_went_missing_is_told_at_login(machine: Machine) -> None:
    machine.cloud.settings.update(instance_type="g4dn.12xlarge", gpus=4)
    assert see(machine, 4) == ""
    assert "4 x Tesla T4 ready" in machine.cloud.signals[-1][1]["Data"]
    told = see(machine, 3)
    assert "the driver sees 3 of the 4 GPUs of this machine" in told
    assert "stop and start the machine, which moves it to another host" in told
    assert "the set-up is complete" in machine.output, "the rest of the machine works"
    assert see(machine, 4) == ""
