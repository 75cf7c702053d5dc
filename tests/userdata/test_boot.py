from __future__ import annotations

import json
import re
import stat

import pytest
from cloud_bench import archive_of
from machine_bench import SETTINGS, STEPS, USERDATA, Machine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 person@laptop"


def boot_again(machine: Machine, **changed: object) -> list[str]:
    """Boot with changed settings; returns what stubbed commands were called."""
    scripts = machine.cloud.settings["scripts"]
    machine.cloud.settings = {**SETTINGS, "scripts": scripts, **changed}
    machine.forget_calls()
    machine.boot()
    assert "the set-up is complete" in machine.output
    harmless = ("systemctl", "chown", "nvidia-smi")
    return [call for call in machine.calls() if not call.startswith(harmless)]


def test_what_was_just_written_is_not_warmed(first_boot: Machine) -> None:
    assert first_boot.calls("uv")
    assert not first_boot.calls("systemd-run")


def test_each_step_is_signaled_once_and_in_order(first_boot: Machine) -> None:
    sent = first_boot.cloud.signals
    assert [(step, one["Status"], one["UniqueId"]) for step, one in sent] == [
        ("driver", "SUCCESS", "driver"),
        ("environment", "SUCCESS", "jupyter"),
        ("gpu", "SUCCESS", "jupyter-check"),
    ]


def test_each_signal_tells_the_facts_of_its_step(first_boot: Machine) -> None:
    driver, environment = (sent["Data"] for _, sent in first_boot.cloud.signals[:2])
    assert driver == "driver 580.178.04 with kernel 6.8.0-1070-aws"
    assert environment == "MXNet 1.9.1, CUDA 11.8 libraries (simulated)"


def test_ready_says_what_was_computed_and_that_it_is_simulated(first_boot: Machine) -> None:
    data = first_boot.cloud.signals[2][1]["Data"]
    assert re.fullmatch(
        r"simulated, no machine was booted: 1 x Tesla T4 ready: driver 580\.178\.04, CUDA 11\.8, "
        r"MXNet 1\.9\.1 computed on every GPU \(system \d+ s, driver \d+ s, environment \d+ s, "
        r"notebooks \d+ s, jupyter \d+ s, verify \d+ s, "
        r"jupyter-check \d+ s\)",
        data,
    )


def test_unit_waits_for_cloud_init_and_reports_failure(first_boot: Machine) -> None:
    unit = first_boot.read("etc/systemd/system/gpustation.service")
    assert "WantedBy=cloud-init.target" in unit
    assert "After=cloud-final.service network-online.target" in unit
    assert "OnFailure=gpustation-failure.service" in unit
    assert "RestartPreventExitStatus=78" in unit
    assert f'python3 -I "{first_boot.root}/opt/gpustation/agent.py" fetch' in unit


def test_driver_comes_for_the_running_kernel_and_is_held(first_boot: Machine) -> None:
    installs = [call for call in first_boot.calls("apt-get") if " -y -q " in call]
    installs = [call for call in installs if " install " in call]
    assert "linux-modules-nvidia-580-server-open-6.8.0-1070-aws" in installs[1]
    assert "DPkg::Lock::Timeout=300" in installs[1]
    assert any("--error-on=any update" in call for call in first_boot.calls("apt-get"))
    assert "libnvidia-compute-580-server" in first_boot.calls("apt-mark")[0]


def test_ssm_agent_is_looked_at_after_the_driver(first_boot: Machine) -> None:
    calls = first_boot.calls()
    looked = [i for i, call in enumerate(calls) if call.startswith("journalctl --unit=snap.amazon")]
    assert looked and calls.index("modprobe -a nvidia nvidia_uvm") < looked[0]


def test_environment_is_installed_from_the_hashed_lock(first_boot: Machine) -> None:
    (install,) = [call for call in first_boot.calls("uv") if call.startswith("uv pip install")]
    assert "--require-hashes" in install
    assert install.endswith("/locks/mxnet.lock")
    folder = first_boot.read("etc/ld.so.conf.d/gpustation.conf").strip()
    assert folder.startswith(str(first_boot.root / "opt/gpustation/env/lib/python3."))
    assert folder.endswith("/site-packages/nvidia/cublas/lib")


def test_another_framework_leaves_nothing_in_the_loaders_configuration(finished: Machine) -> None:
    """PyTorch's wheels find their own libraries, and MXNet's are gone."""
    entry = finished.root / "etc/ld.so.conf.d/gpustation.conf"
    assert entry.exists()
    boot_again(finished, framework="pytorch")
    assert not entry.exists()
    assert "+ ldconfig" in finished.output


def test_uv_comes_by_the_systems_own_pip_still_packed(machine: Machine) -> None:
    wheel = machine.root / "usr/share/python-wheels/pip-24.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    machine.boot()
    assert f"python3 -m venv --without-pip {machine.root}/opt/gpustation/uv" in machine.calls()
    (install,) = [call for call in machine.calls("python") if "/locks/uv.lock" in call]
    assert install.startswith(f"python -I {wheel}/pip install")
    assert "--require-hashes" in install


@pytest.mark.parametrize(
    ("framework", "python", "brought"),
    [
        ("mxnet", "3.11", False),
        ("pytorch", "3.10", True),
        ("pytorch", "3.12", False),
        pytest.param("mxnet", "3.10", True, marks=pytest.mark.tier("all")),
        pytest.param("mxnet", "3.12", True, marks=pytest.mark.tier("all")),
        pytest.param("pytorch", "3.11", False, marks=pytest.mark.tier("all")),
        pytest.param("pytorch", "3.13", False, marks=pytest.mark.tier("all")),
        pytest.param("pytorch", "3.14", True, marks=pytest.mark.tier("all")),
    ],
)
@pytest.mark.rows_in_make_test(1)
def test_the_systems_python_is_taken_where_the_lock_is_for_it(
    machine: Machine, framework: str, python: str, brought: bool
) -> None:
    """Else uv brings one; whatever Python runs the tests."""
    machine.environment["LOCALAWS_PYTHON"] = python
    machine.cloud.settings["framework"] = framework
    machine.boot()
    (install,) = [call for call in machine.calls("uv") if call.startswith("uv pip install")]
    assert install.endswith(f"/locks/{framework}.lock")
    (venv,) = [call for call in machine.calls("uv") if call.startswith("uv venv")]
    assert ("/opt/gpustation/python/cpython-3.11" in venv) == brought
    assert any(call.startswith("uv python install") for call in machine.calls("uv")) == brought


def test_jupyter_starts_while_the_gpu_is_verified(first_boot: Machine) -> None:
    calls = first_boot.calls()
    begun, verified, answered = (
        next(index for index, call in enumerate(calls) if part in call)
        for part in ("restart gpustation-jupyter", "verify.py", "await_jupyter.py")
    )
    assert begun < verified < answered


def test_secrets_are_readable_by_their_owner_alone(first_boot: Machine) -> None:
    token = first_boot.root / "var/lib/gpustation/jupyter-token"
    for path in (token, first_boot.root / "etc/gpustation/bootstrap.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{48}", token.read_text())
    logs = (first_boot.root / "var/log").rglob("*")
    everything = first_boot.output + "".join(path.read_text() for path in logs if path.is_file())
    assert token.read_text() not in everything
    assert "X-Amz-Signature" not in everything


def test_notebooks_are_those_of_the_framework(first_boot: Machine) -> None:
    starter = json.loads(first_boot.read("home/ubuntu/gpu-starter.ipynb"))
    assert starter["metadata"]["kernelspec"]["name"] == "mxnet"
    section = first_boot.read("home/ubuntu/d2l/chapter_preliminaries/ndarray.ipynb")
    assert json.loads(section)["cells"][1]["source"] == ["1 + 1"]


def test_second_boot_redoes_nothing_and_sends_nothing(finished: Machine) -> None:
    before = len(finished.cloud.signals)
    assert boot_again(finished) == []
    assert len(finished.cloud.signals) == before


def test_newer_scripts_alone_redo_nothing(finished: Machine) -> None:
    old = (finished.root / "opt/gpustation/scripts").readlink()
    archive = archive_of(USERDATA, extra={"phases/README": b"new"})
    finished.cloud.serve_scripts(archive)
    assert boot_again(finished) == []
    assert (finished.root / "opt/gpustation/scripts").readlink() != old
    assert finished.read("opt/gpustation/scripts/phases/README") == "new"


def test_public_key_comes_and_goes_with_the_setting(finished: Machine) -> None:
    boot_again(finished, public_key=KEY)
    authorized = finished.root / "home/ubuntu/.ssh/authorized_keys"
    lines = authorized.read_text().splitlines()
    assert lines[0] == "ssh-rsa AAAA of-the-person"
    assert lines[2] == KEY
    assert stat.S_IMODE(authorized.stat().st_mode) == 0o600
    boot_again(finished, public_key="ssh-ed25519 BBBB other")
    assert KEY not in authorized.read_text()
    boot_again(finished)
    assert authorized.read_text() == "ssh-rsa AAAA of-the-person\n"


def test_cuda_toolkit_is_added_without_a_new_environment(finished: Machine) -> None:
    calls = boot_again(finished, cuda_toolkit=True)
    assert any(call.endswith("install nvidia-cuda-toolkit") for call in calls)
    (compiled,) = [call for call in calls if call.startswith("nvcc")]
    assert compiled.endswith("/phases/30-build-environment/cuda_probe.cu -lcublas")
    assert not any(call.startswith("uv") for call in calls)


def test_another_type_is_verified_again_and_not_signaled(finished: Machine) -> None:
    before = len(finished.cloud.signals)
    boot_again(finished, cuda_toolkit=True, instance_type="g5.12xlarge", gpus=4)
    assert "4 x NVIDIA A10G ready" in finished.output
    assert len(finished.cloud.signals) == before


def test_a_toolkit_that_cannot_link_is_a_failure(machine: Machine) -> None:
    machine.cloud.settings.update(cuda_toolkit=True)
    fault = {"exit": 1, "stderr": "/usr/bin/ld: cannot find -lcublas"}
    machine.boot({"nvcc": fault})
    step, sent = machine.cloud.signals[-1]
    assert (step, sent["UniqueId"], sent["Status"]) == ("environment", "environment", "FAILURE")
    assert "command nvcc -o" in sent["Reason"]
    assert "cannot find -lcublas" in sent["Reason"]


def test_kernel_that_lost_its_driver_is_told_at_boot(finished: Machine) -> None:
    notice = finished.root / "run/motd.d/gpustation"
    before = len(finished.cloud.signals)
    mismatch = {"exit": 18, "stderr": "Failed to initialize NVML: Driver/library version mismatch"}
    finished.forget_calls()
    finished.boot({"nvidia-smi": mismatch})
    line = (
        "no GPU: kernel 6.8.0-1070-aws and the NVIDIA driver do not fit together "
        "(nvidia-smi exited 18: Failed to initialize NVML: Driver/library version mismatch);"
    )
    assert "systemctl reboot" not in finished.calls("systemctl")
    assert f"gpustation: warning: {line}" in finished.output
    assert notice.read_text().startswith(f"gpustation: {line}")
    assert "reboot if the driver was updated since this boot, else boot the" in notice.read_text()
    assert len(notice.read_text().splitlines()) == 1
    assert "the set-up is complete" in finished.output
    assert len(finished.cloud.signals) == before
    finished.boot()
    assert not notice.exists()


def test_offline_boot_goes_on_with_what_there_is(finished: Machine) -> None:
    finished.cloud.faults["."] = [99, 500, "no network"]
    finished.forget_calls()
    finished.boot()
    finished.cloud.faults.clear()
    assert "warning: going on with the settings and scripts of an earlier boot" in finished.output
    assert "the set-up is complete" in finished.output


def test_copied_disk_in_another_machine_reports_and_gets_a_token_of_its_own(
    finished: Machine,
) -> None:
    token = finished.read("var/lib/gpustation/jupyter-token")
    finished.cloud.signals.clear()
    finished.suffix = "&machine=2"
    calls = boot_again(finished)
    assert [step for step, _ in finished.cloud.signals] == list(STEPS)
    assert not any(call.startswith(("uv", "apt-get")) for call in calls)
    assert finished.read("var/lib/gpustation/jupyter-token") != token


def test_notebooks_are_left_out_until_asked_for(machine: Machine) -> None:
    machine.cloud.settings.update(notebooks=False, framework="pytorch")
    machine.boot()
    home = machine.root / "home/ubuntu"
    assert (home / "gpu-starter.ipynb").exists()
    assert not (home / "d2l").exists()
    assert "PyTorch 2.14.1 computed" in machine.cloud.signals[2][1]["Data"]
    calls = boot_again(machine, framework="pytorch")
    assert (home / "d2l/chapter_preliminaries/ndarray.ipynb").exists()
    assert {call.split()[0] for call in calls} == {"git"}
