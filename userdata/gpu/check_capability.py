"""Refuses a GPU or a driver that the framework cannot use, before gigabytes are downloaded.

Usage: nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader |
       check_capability.py FRAMEWORK [DRIVER-VERSION [stack|standalone]]

The wheel must have machine code for the GPU, and the driver must be new enough for the wheel's
CUDA. Rows without these values, as from an old driver that does not know the field, are accepted
here; verify.py checks the GPU later.
"""

import json
import re
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "locks"
TITLES = {"mxnet": "MXNet", "pytorch": "PyTorch"}
#: The oldest driver of each major version of CUDA, from NVIDIA's CUDA Compatibility, "Minor Version
#: Compatibility", table 1 and its note (docs.nvidia.com/deploy/cuda-compatibility, 2026-11-25).
OLDEST_DRIVERS = {"11": "450.80.02", "13": "580"}
#: How to get a driver that is new enough, by who set up the machine.
REMEDIES = {
    "stack": "take another image with a new generation: image=ubuntu-24.04 has no driver and gets "
    "branch 580",
    "standalone": "remove it, with apt-get purge or nvidia-uninstall as it was installed, reboot, "
    "and run install.sh again, which installs branch 580",
}


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, for comparison."""
    return tuple(int(part) for part in version.split("."))


def runs_on(architectures: list[str], capability: str) -> bool:
    """Return whether a machine code fits: the same major version, and no higher minor version."""
    major, minor = numbers(capability)
    pairs = (numbers(architecture) for architecture in architectures)
    return any(own == major and least <= minor for own, least in pairs)


def fits(known: dict[str, object], capabilities: list[str], driver: str) -> bool:
    """Return whether a wheel runs on all of these GPUs with this driver; empty means unknown."""
    architectures = known["architectures"]
    assert isinstance(architectures, list)
    if driver and numbers(driver) < numbers(oldest_driver(known)):
        return False
    return all(runs_on(architectures, capability) for capability in capabilities)


def oldest_driver(known: dict[str, object]) -> str:
    """Return the version of the oldest driver that the wheel's CUDA works with."""
    return OLDEST_DRIVERS[str(known["cuda"]).partition(".")[0]]


def refusal(framework: str, rows: list[str], driver: str = "", owner: str = "") -> str:
    """Return why these GPUs or their driver cannot be used; empty if they can."""
    known = {
        name: json.loads((LOCKS / f"{name}-architectures.json").read_text()) for name in TITLES
    }
    wanted = known[framework]
    pairs = [re.fullmatch(r"(.*), *(\d+\.\d+) *", row) for row in rows]
    gpus = [(pair[1], pair[2]) for pair in pairs if pair]
    version = driver if re.fullmatch(r"\d+(\.\d+)+", driver) else ""
    capabilities = [capability for _, capability in gpus]
    others = [name for name in TITLES if fits(known[name], capabilities, version)]
    for gpu, capability in gpus:
        if runs_on(wanted["architectures"], capability):
            continue
        fitting = [name for name in TITLES if fits(known[name], [capability], "")]
        remedy = f"take --framework {fitting[0]}" if fitting else "no framework here runs on it"
        return (
            f"{gpu} has compute capability {capability}, and the wheel of {TITLES[framework]} "
            f"{wanted['version']} has code for {', '.join(wanted['architectures'])} (each also "
            f"for later minor versions) only; {remedy}"
        )
    if not fits(wanted, [], version):
        oldest = oldest_driver(wanted)
        remedy = REMEDIES.get(owner, REMEDIES["standalone"])
        if others:
            option = f"framework={others[0]}" if owner == "stack" else f"--framework {others[0]}"
            remedy += f"; or take {option}, for which it is new enough"
        return (
            f"the NVIDIA driver {driver} of this machine is too old: {TITLES[framework]} "
            f"{wanted['version']} is built for CUDA {wanted['cuda']}, which needs {oldest} or "
            f"newer; {remedy}"
        )
    return ""


def main() -> None:
    """Read the output of nvidia-smi, which may be any text."""
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    refused = refusal(sys.argv[1], [row.strip() for row in text.splitlines()], *sys.argv[2:])
    if refused:
        sys.exit(refused)


if __name__ == "__main__":
    main()
