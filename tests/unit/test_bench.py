"""The benchmark's program, its record, and comparisons; cpu.json was measured with PyTorch."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from gpustation.bench import compare, machine_program, remote
from gpustation.bench.record import Record, read_record, record_of
from gpustation.cli.app import main
from gpustation.console.errors import CommandError
from gpustation.console.statuses import USAGE

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "constructs/gpustation/cli/schemas"
CPU = Path(__file__).parent / "bench_records/cpu.json"
PRICE = {"usd_per_hour": 3.6, "source": "catalog", "as_of": "2026-07-20", "region": "us-east-1"}
GPU = {
    "name": "NVIDIA invented",
    "memory_mib": 16384.0,
    "compute_capability": "8.0",
    "max_sm_mhz": 1500.0,
    "max_memory_mhz": None,
    "power_limit_w": 70.0,
}


def rate(median: float) -> dict[str, float]:
    return {"median": median, "low": median * 0.9, "high": median * 1.1, "runs": 7}


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(CPU.read_text())
    return {**found, **changes}


def training(gpus: int, images: float) -> dict[str, Any]:
    return {
        "gpus": gpus,
        "batch_per_device": 64,
        "precision": "fp32",
        "images_per_s": rate(images),
        "tflop_per_s": rate(images / 40),
    }


def invented() -> dict[str, Any]:
    """A machine with four GPUs; its numbers are made up to be computed with."""
    rows = [training(4, 1440.0), training(1, 400.0), training(2, 760.0)]
    machine = {"instance_type": "g4dn.12xlarge"}
    return document(device="gpu", gpus=[GPU] * 4, training=rows, machine=machine, price=PRICE)


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text())


@pytest.mark.parametrize("found", [document(), invented()])
def test_a_record_has_the_form_of_the_schema(found: dict[str, Any]) -> None:
    jsonschema.validate(found, schema("bench.json"))


def test_the_numbers_that_follow_from_a_record() -> None:
    record = record_of(invented(), "x")
    one, two, four = record.training
    assert (record.name, record.device) == ("g4dn.12xlarge", "4 x NVIDIA invented")
    assert [row.gpus for row in record.training] == [1, 2, 4]
    assert record.efficiency(one) == 1.0
    assert record.efficiency(two) == pytest.approx(0.95)
    assert record.efficiency(four) == pytest.approx(0.9)
    assert record.images_per_usd(four) == pytest.approx(1440 * 3600 / 3.6)
    assert one.images_per_s.spread == pytest.approx(0.1)


def test_a_cpu_has_neither_scaling_nor_price() -> None:
    record = read_record(CPU)
    (row,) = record.training
    assert (record.name, row.gpus) == ("cpu", 0)
    assert record.efficiency(row) is None
    assert record.images_per_usd(row) is None
    assert record.products["fp32"] and record.products["bf16"] is None


def test_scaling_without_one_gpu_is_unknown() -> None:
    record = record_of({**invented(), "training": [training(4, 1440.0)]}, "x")
    assert record.efficiency(record.training[0]) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        json.dumps({**document(), "schema": 2}),
        json.dumps({**document(), "kind": "another"}),
        json.dumps({**document(), "training": [{"gpus": 1}]}),
        json.dumps(document(memory={"gb_per_s": {**rate(1.0), "low": -1}})),
        json.dumps(document(memory={"gb_per_s": {**rate(1.0), "median": float("nan")}})),
    ],
)
def test_what_is_no_record_is_refused(
    tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert main(["bench", "compare", str(path)]) == USAGE
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and "no record" in error
    assert main(["bench", "compare", str(tmp_path / "missing")]) == USAGE


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    path = tmp_path / "four.json"
    path.write_text(json.dumps(invented()))
    return [str(CPU), str(path)]


def test_the_table_in_a_pipe(files: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *files]) == 0
    out, err = capfd.readouterr()
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0:2] for row in rows] == [
        ["cpu", "0"],
        ["g4dn.12xlarge", "1"],
        ["g4dn.12xlarge", "2"],
        ["g4dn.12xlarge", "4"],
    ]
    assert rows[3][3:8] == ["1440.0", "10.0%", "36.00", "90%", "1440000"]
    assert rows[0][6:8] == ["-", "-"]
    assert "catalog of 2026-07-20, us-east-1" in err and "the bill decides" in err


def test_the_document(files: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *files, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    jsonschema.validate(found, schema("bench-compare.json"))
    assert [row["scaling_efficiency"] for row in found["compared"]] == [None, 1.0, 0.95, 0.9]


def test_machines_of_one_type_are_told_apart() -> None:
    record = record_of(invented(), "x")
    one = replace(record, framework="mxnet 1.9.1", training=record.training[:1])
    plain = compare.labels([one])[0][0]
    names = [name for name, _ in compare.labels([one, replace(one, framework="pytorch 2.14")])]
    assert names == [f"{plain} mxnet 1.9.1", f"{plain} pytorch 2.14"]
    later = replace(one, measured="2026-12-01")
    assert [name for name, _ in compare.labels([one, later])][1].endswith("2026-12-01")
    assert plain == "g4dn.12xlarge x1"


def test_the_chart_has_bars_in_proportion() -> None:
    record = record_of(invented(), "x")
    console = Console(width=100, force_terminal=True, color_system=None)
    with console.capture() as captured:
        compare.draw_bars([record], console)
    bars = [line.count("█") for line in captured.get().splitlines()]
    assert bars[2] == compare.BAR_WIDTH
    assert bars[0] == pytest.approx(compare.BAR_WIDTH * 400 / 1440, abs=1)


def test_a_picture_without_matplotlib_is_an_error_of_one_line(
    files: list[str], tmp_path: Path, monkeypatch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["bench", "compare", *files, "--svg", str(tmp_path / "x.svg")]) == USAGE
    assert capfd.readouterr().err == (
        "bench compare: pictures need matplotlib; install it with: pip install matplotlib\n"
    )
    assert main(["bench", "compare", *files, "--svg", str(tmp_path / "x.png")]) == USAGE


def test_text_of_others_is_escaped(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**invented(), "machine": {"instance_type": "\x1b[2J"}}))
    assert main(["bench", "compare", str(path)]) == 0
    assert "\x1b" not in capfd.readouterr().out


# The program


def test_the_operations_of_resnet_50_are_counted_from_its_layers() -> None:
    size, inside = 112, 64
    macs = 3 * 64 * 7 * 7 * size * size
    size = 56
    for stage, (width, blocks) in enumerate(machine_program.STAGES):
        for block in range(blocks):
            if stage and not block:
                size //= 2
            weights = inside * width + 9 * width * width + 4 * width * width
            weights += 0 if block else 4 * inside * width
            macs += weights * size * size
            inside = 4 * width
    macs += inside * machine_program.CLASSES
    assert macs == 3_857_973_248
    assert pytest.approx(2 * macs / 1e9, abs=0.005) == machine_program.FORWARD_GFLOP


def test_a_rate_is_the_median_of_its_runs() -> None:
    runs: list[int] = []
    found = machine_program.timed(lambda: runs.append(1), lambda: None, 5, 1e-6)
    assert len(runs) == machine_program.WARM_UP + 5
    assert found["low"] <= found["median"] <= found["high"]
    assert machine_program.spread([3.0, 1.0, 2.0]) == {
        "median": statistics.median([1, 2, 3]),
        "low": 1.0,
        "high": 3.0,
        "runs": 3,
    }


@pytest.mark.parametrize(("text", "counts"), [("", []), ("4,1,2", [1, 2, 4]), ("2,2", [2])])
def test_counts(text: str, counts: list[int]) -> None:
    assert machine_program.counts_of(text) == counts


def test_default_counts() -> None:
    assert [machine_program.powers_of_two(one) for one in (1, 3, 4, 8)] == [
        [1],
        [1, 2, 3],
        [1, 2, 4],
        [1, 2, 4, 8],
    ]


def test_what_nvidia_smi_does_not_say_is_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert machine_program.nvidia_smi() == ([], None)
    smi.write_text("#!/bin/sh\necho 'Tesla T4, 580.95.05, 15360, 7.5, 1590, 5001, [N/A]'\n")
    smi.chmod(0o755)
    ((gpu,), driver) = machine_program.nvidia_smi()
    assert (driver, gpu["name"], gpu["max_sm_mhz"]) == ("580.95.05", "Tesla T4", 1590.0)
    assert gpu["power_limit_w"] is None


def test_without_a_framework_it_says_so() -> None:
    """In a process of its own, as on the machine; this one has neither PyTorch nor MXNet."""
    done = subprocess.run(
        [sys.executable, machine_program.__file__],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("neither PyTorch nor MXNet is installed")


def test_the_program_imports_nothing_but_the_standard_library() -> None:
    text = remote.program().decode()
    lines = [line.split()[1] for line in text.splitlines() if line.startswith(("import", "from"))]
    assert {line.partition(".")[0] for line in lines} - {"__future__"} <= sys.stdlib_module_names


# On a machine


def executed(output: bytes, status: int = 0) -> Callable[[str, bytes], tuple[int, bytes]]:
    return lambda _command, _program: (status, output)


def test_a_measurement_gets_machine_and_price() -> None:
    output = b"bench: noise\n" + CPU.read_bytes()
    found = remote.measure(executed(output), "g4dn.xlarge", [1])
    jsonschema.validate(found, schema("bench.json"))
    assert found["machine"] == {"instance_type": "g4dn.xlarge"}
    assert found["price"]["usd_per_hour"] == 0.526
    record: Record = record_of(found, "x")
    assert record.price_origin == "catalog of 2026-07-20, us-east-1"


@pytest.mark.parametrize(
    ("output", "status", "match"),
    [(b"", 1, "exit status 1"), (b"", 0, "no record"), (b"\x1b[2J{}", 0, r"no record: \\x1b")],
)
def test_a_measurement_that_fails(output: bytes, status: int, match: str) -> None:
    with pytest.raises(CommandError, match=match):
        remote.measure(executed(output, status), "g4dn.xlarge", [])


def test_the_command_runs_the_program_from_standard_input_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    fake = b"import sys; print(sys.argv[1:])"
    done = subprocess.run(
        ["sh", "-c", remote.command([1, 2], python=sys.executable)],
        input=fake,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b"['--gpus', '1,2']\n", done.stderr
    assert [*tmp_path.iterdir()] == []


def test_of_several_processes_one_that_fails_ends_the_others() -> None:
    with (
        subprocess.Popen(["sleep", "60"], text=True) as waits,
        subprocess.Popen(["false"], text=True) as fails,
        pytest.raises(SystemExit, match=r"the processes of the GPUs ended with \[-9, 1\]"),
    ):
        machine_program._await([waits, fails])
