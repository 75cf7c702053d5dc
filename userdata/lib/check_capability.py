"""Refuses a GPU for which the framework's wheel has no code, before gigabytes are downloaded.

Usage: nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader | check_capability.py FRAMEWORK

A machine of a stack is never refused here: its type was checked when the stack was synthesized.
"""

import json
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "locks"
TITLES = {"mxnet": "MXNet", "pytorch": "PyTorch"}


def runs_on(architectures: list[str], capability: str) -> bool:
    """Tell whether one of these machine codes runs: of the same major, no higher minor version."""
    major, minor = (int(part) for part in capability.split("."))
    pairs = (tuple(map(int, architecture.split("."))) for architecture in architectures)
    return any(own == major and least <= minor for own, least in pairs)


def refusal(framework: str, rows: list[str]) -> str:
    """Return why a GPU of these rows cannot be used, empty if all can."""
    known = {
        name: json.loads((LOCKS / f"{name}-architectures.json").read_text()) for name in TITLES
    }
    for row in rows:
        gpu, capability = row.rsplit(", ", 1)
        if runs_on(known[framework]["architectures"], capability):
            continue
        fitting = [name for name in TITLES if runs_on(known[name]["architectures"], capability)]
        remedy = f"take --framework {fitting[0]}" if fitting else "no framework here runs on it"
        codes = ", ".join(known[framework]["architectures"])
        return (
            f"{gpu} has compute capability {capability}, and the wheel of {TITLES[framework]} "
            f"{known[framework]['version']} has code for {codes} (each also for later minor "
            f"versions) only; {remedy}"
        )
    return ""


def main() -> None:
    """Read what the driver told: nothing, if it is too old to know the field."""
    refused = refusal(sys.argv[1], [row for row in sys.stdin.read().splitlines() if row])
    if refused:
        sys.exit(refused)


if __name__ == "__main__":
    main()
