from __future__ import annotations

from typing import Any

import pytest
from machine_bench import STEPS, Machine

HOSTILE = (
    'it\'s "quoted" `id` $(id) \\n \N{SNOWMAN}\nmodprobe: FATAL: \x1b[31mno\x1b[0m ' + "x" * 2000
)


def fault(when: str = "", text: str = "it broke", status: int = 42) -> dict[str, Any]:
    return {"exit": status, "stderr": text, "when": when}


@pytest.mark.parametrize(
    ("phase", "step", "command", "when"),
    [
        ("system", "driver", "apt-get", "libgomp1"),
        ("jupyter", "environment", "systemctl", "restart gpustation-jupyter"),
        ("jupyter-check", "gpu", "python", "await_jupyter.py"),
        *(
            pytest.param(*row, marks=pytest.mark.tier("all"))
            for row in (
                ("driver", "driver", "modprobe", "nvidia_uvm"),
                ("environment", "environment", "uv", "pip install"),
                ("notebooks", "environment", "python3", "convert_book.py"),
                ("verify", "gpu", "python", "verify.py"),
            )
        ),
    ],
)
@pytest.mark.rows_in_make_test(1)
def test_failed_phase_is_reported_to_its_step(
    machine: Machine, phase: str, step: str, command: str, when: str
) -> None:
    machine.boot({command: fault(when)})
    sent = machine.cloud.signals
    assert [name for name, _ in sent] == list(STEPS[: STEPS.index(step) + 1])
    assert [one["Status"] for _, one in sent] == ["SUCCESS"] * (len(sent) - 1) + ["FAILURE"]
    failure = sent[-1][1]
    assert failure["UniqueId"] == phase
    assert failure["Reason"].startswith(f"phase {phase} failed: ")
    assert "it broke" in failure["Reason"]
    assert len(failure["Reason"]) <= 900
    if phase != "verify":
        assert command in failure["Reason"]
        assert "exited 42 after " in failure["Reason"]


def test_resumes_at_the_phase_that_failed(machine: Machine) -> None:
    machine.boot({"uv": fault("pip install")})
    machine.forget_calls()
    machine.boot()
    assert "the set-up is complete" in machine.output
    assert not machine.calls("modprobe")
    assert not machine.calls("apt-get")
    statuses = [(step, one["Status"]) for step, one in machine.cloud.signals]
    assert statuses == [("driver", "SUCCESS"), ("environment", "FAILURE"), ("gpu", "SUCCESS")]


def test_reason_survives_hostile_log_lines(machine: Machine) -> None:
    machine.boot({"modprobe": fault(text=HOSTILE)})
    reason = machine.cloud.signals[0][1]["Reason"]
    assert len(reason) == 900
    assert reason.isascii() and reason.isprintable()
    assert "command modprobe -a nvidia nvidia_uvm exited 42" in reason


def test_command_is_named_with_its_arguments(machine: Machine) -> None:
    machine.boot({"modprobe": fault(text='said "no"')})
    reason = machine.cloud.signals[0][1]["Reason"]
    assert reason.startswith(
        "phase driver failed: command modprobe -a nvidia nvidia_uvm exited 42 after "
    )
    assert reason.endswith('said "no"')


def test_fails_when_the_driver_is_of_another_branch(machine: Machine) -> None:
    machine.cloud.settings["driver_branch"] = "535-server"
    machine.boot()
    reason = machine.cloud.signals[0][1]["Reason"]
    wanted = "the driver that was installed is 580.178.04, not of branch 535-server"
    assert reason.startswith(f"phase driver failed: {wanted} after ")


def test_fails_when_the_new_driver_sees_no_gpu(machine: Machine) -> None:
    machine.boot({"nvidia-smi": fault(text="No devices were found", status=6)})
    reason = machine.cloud.signals[0][1]["Reason"]
    assert reason.startswith(
        "phase driver failed: nvidia-smi does not see a GPU after the driver was installed: "
    )
    assert "No devices were found after " in reason
    assert "error: nvidia-smi does not see a GPU" in reason


def test_fails_when_the_settings_lack_one(machine: Machine) -> None:
    del machine.cloud.settings["gpus"]
    machine.boot()
    assert "settings.json lacks gpus; it has " in machine.output
    ((step, sent),) = machine.cloud.signals
    assert (step, sent["UniqueId"]) == ("driver", "setup")


def test_fails_when_the_type_has_more_gpus_than_were_seen(machine: Machine) -> None:
    result = '{"device": "gpu", "missing": "the type has 8 GPUs, the driver sees 7"}'
    machine.boot({"python": {**fault("verify.py"), "stdout": result}})
    step, failure = machine.cloud.signals[-1]
    assert step == "gpu"
    assert "no usable GPU: the type has 8 GPUs, the driver sees 7" in failure["Reason"]


@pytest.mark.tier("all")
def test_missing_book_is_a_warning_and_is_fetched_at_the_next_boot(machine: Machine) -> None:
    machine.boot({"git": fault("fetch")})
    data = machine.cloud.signals[-1][1]["Data"]
    assert "; warning: the D2L notebooks are missing, because commit " in data
    machine.boot()
    assert (machine.root / "home/ubuntu/d2l").is_dir()


def test_fabric_manager_is_of_the_drivers_version(machine: Machine) -> None:
    machine.cloud.settings.update(fabric_manager=True, instance_type="p4d.24xlarge", gpus=8)
    machine.boot()
    installs = "\n".join(machine.calls("apt-get"))
    assert "nvidia-fabricmanager-580=580.178.04-0ubuntu0.24.04.1" in installs
    assert "systemctl enable --now nvidia-fabricmanager.service" in machine.calls("systemctl")
    assert "8 x NVIDIA A100-SXM4 ready" in machine.cloud.signals[-1][1]["Data"]


@pytest.mark.tier("all")
def test_undelivered_signal_is_sent_at_the_next_boot(machine: Machine) -> None:
    machine.cloud.faults["/signal/gpu"] = [99, 503, "slow down"]
    machine.boot()
    assert "error: signal address of gpu answered 503: slow down" in machine.output
    machine.cloud.faults.clear()
    machine.boot()
    assert [(step, one["Status"]) for step, one in machine.cloud.signals] == [
        (step, "SUCCESS") for step in STEPS
    ]
