"""Computes with the framework on every GPU that the instance type has.

Usage: verify.py gpu|cpu

Prints its result as JSON, exit status 0 only if everything was computed and right, and on standard
error each step before it begins: the last one is where it hangs, if it does. The framework and the
number of GPUs are those of the settings. `cpu` is for machines that have no GPU, and its result
says so.
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

# Python's isolated mode leaves out the folder of the program
sys.path.insert(0, str(Path(__file__).resolve().parent))
STATE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/lib/gpustation")
SETTINGS = STATE / "settings.json"
#: For the machines of an image, which read these files first (phases/04-warm-files/warm-files.sh).
LOADED = STATE / "loaded-files"
#: Where the trace of a failure is kept; a reason in one line has no room for it.
TRACE = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/log/gpustation/verify-trace.log")
#: Seconds for nvidia-smi's answer; see gpu/nvidia_smi.sh.
SMI_SECONDS = 120


class MissingGpuError(Exception):
    """What is missing for a usable GPU."""


def step(text: str) -> None:
    """Print what is done next, at once."""
    print(f"verify.py: {text}", file=sys.stderr, flush=True)


def seen_by_driver() -> tuple[list[str], str]:
    """Return the names of the GPUs and the driver's version, as nvidia-smi tells them."""
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
    said = one_line(text + done.stderr.decode("utf-8", "replace"))
    # 14: the answer is right, but the infoROM, which only keeps statistics, is damaged.
    if done.returncode not in (0, 14):
        raise MissingGpuError(f"nvidia-smi exited {done.returncode}: {said}")
    rows = [re.fullmatch(r"(.+), *(\d+(?:\.\d+)+) *", line) for line in text.splitlines()]
    gpus = [(row[1], row[2]) for row in rows if row]
    if not gpus:
        raise MissingGpuError(
            f"nvidia-smi should print names and driver versions, and printed {said or 'nothing'}"
        )
    return [name for name, _ in gpus], gpus[0][1]


def one_line(text: str) -> str:
    """Return the text in one line that can be shown."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def load_framework(name: str) -> ModuleType:
    """Return the module that computes; MXNet's GPU wheel does not load without a driver."""
    try:
        return importlib.import_module("verify_" + name)
    except (ImportError, OSError) as error:
        raise MissingGpuError(f"{name} does not load: {error}") from error


def require(expected: int, found: int, who: str) -> None:
    """Refuse fewer GPUs than the instance type has."""
    if found < expected:
        raise MissingGpuError(f"the instance type has {expected} GPU(s), {who} sees {found}")


def verify(device: str, settings: dict[str, Any]) -> dict[str, object]:
    """Compute on every device and return what was found; a wrong result ends the program."""
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
    for context in contexts:
        step(f"computing on {context}")
        framework.compute(context)
    if len(contexts) > 1:
        step(f"the all-reduce over {len(contexts)} devices")
        framework.reduce(contexts)
    versions.update(framework.versions(device))
    note = "" if device == "gpu" else "no GPU: computed on the CPU"
    names = names or ["CPU"] * len(contexts)
    return {"device": device, "devices": names, "note": note, "versions": versions}


def loaded_files() -> list[str]:
    """Return what of the environment this program has loaded: modules in order, then libraries."""
    # Not by getattr: some modules make up attributes, or fault, when they are asked for one.
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
    try:
        result = verify(device, json.loads(SETTINGS.read_text()))
        LOADED.write_text("".join(f"{path}\n" for path in loaded_files()))
    except MissingGpuError as error:
        result = {"device": device, "missing": str(error)}
    except SystemExit as error:
        result = {"device": device, "failed": one_line(str(error.code))}
    # Whatever a framework raises: its first words say it, the trace is for who looks for the cause.
    except Exception as error:
        result = {"device": device, "failed": one_line(f"{type(error).__name__}: {error}")}
        keep_trace()
    print(json.dumps(result))
    return 1 if {"missing", "failed"} & {*result} else 0


def keep_trace() -> None:
    """Write the trace beside the logs, if that is possible."""
    try:
        TRACE.write_text(traceback.format_exc())
    except OSError as error:
        step(f"the trace could not be kept: {error}")


if __name__ == "__main__":
    sys.exit(main())
