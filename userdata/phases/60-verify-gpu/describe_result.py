"""Prints the result of verify.py as one sentence."""

import json
import sys
from collections import Counter
from pathlib import Path


def sentence(result: dict[str, object]) -> str:
    """Return the sentence for a result: what was computed, what failed, or what is missing."""
    if "failed" in result:
        return f"{result['failed']}"
    if "missing" in result:
        return f"no usable GPU: {result['missing']}"
    devices = result["devices"]
    assert isinstance(devices, list)
    names = ", ".join(f"{count} x {name}" for name, count in Counter(devices).items())
    head = f"{result['note']}: " if result.get("note") else ""
    versions = result["versions"]
    assert isinstance(versions, dict)
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    everywhere = "on every GPU" if result["device"] == "gpu" else "on the CPU"
    if len(devices) > 1:
        everywhere += f", and an all-reduce over {len(devices)}"
    return f"{head}{names} ready: {listed} computed {everywhere}"


def main() -> None:
    """Describe the file of the command line; a crash of verify.py leaves it incomplete."""
    try:
        described = sentence(json.loads(Path(sys.argv[1]).read_bytes()))
    except (ValueError, TypeError, LookupError, AssertionError):
        described = "verify.py ended without a result"
    print(described)


if __name__ == "__main__":
    main()
