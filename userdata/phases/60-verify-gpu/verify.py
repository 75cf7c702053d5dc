"""Computes with the framework on every GPU of the instance type, and on all of them together.

Usage: verify.py gpu|cpu

Prints the result as JSON; the exit status is 0 only if all results are right. Prints each step to
standard error before it begins, so that the last one shows where a hanging program is. The
framework and the number of GPUs are those of the settings. `cpu` is for machines without a GPU, and
the result says so.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

# Python's isolated mode does not search the folder of the program
sys.path.insert(0, str(Path(__file__).resolve().parent))
STATE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/lib/gpustation")
SETTINGS = STATE / "settings.json"
#: The machines of an image read these files in advance (04-warm-files).
LOADED = STATE / "loaded-files"
#: The trace of a failure, for which the one-line reason has no room.
TRACE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/log/gpustation/verify-trace.log")
#: Seconds that nvidia-smi may take; see gpu/nvidia_smi.sh.
SMI_SECONDS = 120


class MissingGpuError(Exception):
    """No usable GPU, driver or framework; the text names what is missing."""


def step(text: str) -> None:
    """Print the next step, unbuffered."""
    print(f"verify.py: {text}", file=sys.stderr, flush=True)


def seen_by_driver() -> tuple[list[str], str]:
    """Return the names of the GPUs and the driver's version from nvidia-smi.

    Raises:
        MissingGpuError: nvidia-smi does not list a GPU.
    """
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    step("asking nvidia-smi")
    try:
        done = subprocess.run(command, capture_output=True, timeout=SMI_SECONDS, check=False)
    except FileNotFoundError as error:
        raise MissingGpuError("there is no nvidia-smi, so no driver is installed") from error
    except subprocess.TimeoutExpired as error:
        raise MissingGpuError(f"nvidia-smi did not answer within {SMI_SECONDS} s") from error
    except OSError as error:
        raise MissingGpuError(f"nvidia-smi cannot be run: {error}") from error
    text = done.stdout.decode("utf-8", "replace")
    output = one_line(text + done.stderr.decode("utf-8", "replace"))
    # 14: the output is right, but the infoROM, which holds only statistics, is damaged.
    if done.returncode not in (0, 14):
        raise MissingGpuError(f"nvidia-smi exited {done.returncode}: {output}")
    rows = [re.fullmatch(r"(.+), *(\d+(?:\.\d+)+) *", line) for line in text.splitlines()]
    gpus = [(row[1], row[2]) for row in rows if row]
    if not gpus:
        raise MissingGpuError(
            f"nvidia-smi should print names and driver versions, and printed {output or 'nothing'}"
        )
    return [name for name, _ in gpus], gpus[0][1]


def one_line(text: str) -> str:
    """Return the text as one line of printable characters, cut after 300."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def load_framework(name: str) -> ModuleType:
    """Return the module of the framework. MXNet's GPU wheel does not load without a driver.

    Raises:
        MissingGpuError: The framework does not load.
    """
    try:
        return importlib.import_module("verify_" + name)
    except (ImportError, OSError) as error:
        raise MissingGpuError(f"{name} does not load: {error}") from error


def require(expected: int, visible: int, who: str) -> None:
    """Raise MissingGpuError if fewer GPUs are visible than the instance type has."""
    if visible < expected:
        raise MissingGpuError(f"the instance type has {expected} GPU(s), {who} sees {visible}")


def verify(device: str, settings: dict[str, Any]) -> dict[str, object]:
    """Compute on every device and return the result.

    Raises:
        MissingGpuError: A GPU, the driver or the framework is missing.
        SystemExit: A result is wrong.
    """
    names: list[str] = []
    versions: dict[str, str] = {}
    if device == "gpu":
        names, versions["driver"] = seen_by_driver()
        require(settings["gpus"], len(names), "the driver")
    step(f"loading {settings['framework']}")
    framework = load_framework(settings["framework"])
    if device == "gpu":
        require(settings["gpus"], framework.count_gpus(), settings["framework"])
    contexts = framework.contexts(device, len(names) or settings["gpus"])
    compute_on_each(framework, contexts)
    if len(contexts) > 1:
        step(f"the all-reduce over {len(contexts)} devices")
        framework.reduce(contexts)
    versions.update(framework.versions(device))
    note = "" if device == "gpu" else "no GPU: computed on the CPU"
    names = names or ["CPU"] * len(contexts)
    return {"device": device, "devices": names, "note": note, "versions": versions}


def compute_on_each(framework: ModuleType, contexts: list[Any]) -> None:
    """Compute on every device, also after one has failed.

    Raises:
        SystemExit: Some failed; the text names them, and why the first one did.
    """
    faults: dict[int, str] = {}
    for index, context in enumerate(contexts):
        step(f"computing on {context}")
        try:
            framework.compute(context)
        except SystemExit as error:
            faults[index] = str(error.code)
        # A framework can raise anything.
        except Exception as error:
            faults[index] = f"{type(error).__name__}: {error}"
            keep_trace()
    if len(contexts) == 1 and faults:
        raise SystemExit(faults[0])
    if faults:
        places = [f"{contexts[index]}{address(index, len(contexts))}" for index in faults]
        raise SystemExit(
            f"{len(faults)} of {len(contexts)} devices failed: {', '.join(places)}; the first "
            f"because: {next(iter(faults.values()))}"
        )


def address(index: int, count: int) -> str:
    """Return where the GPU of a number is, such as `` at 00000000:00:1E.0``; empty if unknown."""
    command = ["nvidia-smi", "--query-gpu=pci.bus_id", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = done.stdout.decode("utf-8", "replace").split()
    return f" at {one_line(found[index])}" if len(found) == count else ""


def loaded_files() -> list[str]:
    """Return the loaded files of the environment: modules in order of import, then libraries."""
    # Not getattr, because some modules invent attributes or raise errors.
    specs = [vars(module).get("__spec__") for module in list(sys.modules.values())]
    paths = [str(spec.cached or spec.origin) for spec in specs if spec]
    for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
        paths.append("/" + line.partition("/")[2])
    inside = [path for path in dict.fromkeys(paths) if path.startswith(f"{sys.prefix}/")]
    return [path for path in inside if Path(path).is_file()]


def main() -> int:
    """Run the command line."""
    if sys.argv[1:] not in (["gpu"], ["cpu"]):
        sys.exit("usage: verify.py gpu|cpu")
    device = sys.argv[1]
    # CUDA's numbers are those of nvidia-smi then; by default the fastest GPU is the first.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    try:
        result = verify(device, json.loads(SETTINGS.read_text()))
        LOADED.write_text("".join(f"{path}\n" for path in loaded_files()))
    except MissingGpuError as error:
        result = {"device": device, "missing": str(error)}
    except SystemExit as error:
        result = {"device": device, "failed": one_line(str(error.code))}
    # A framework can raise anything; the error is reported, and the trace is kept in a file.
    except Exception as error:
        result = {"device": device, "failed": one_line(f"{type(error).__name__}: {error}")}
        keep_trace()
    print(json.dumps(result))
    return 1 if {"missing", "failed"} & {*result} else 0


def keep_trace() -> None:
    """Write the trace to a file beside the logs; a failure to do so is only printed."""
    try:
        TRACE.write_text(traceback.format_exc())
    except OSError as error:
        step(f"the trace could not be kept: {error}")


if __name__ == "__main__":
    sys.exit(main())
