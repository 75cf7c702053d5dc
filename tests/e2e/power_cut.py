"""Runs ``gpustation`` until a moment, at which it and all that it started end as by a power cut.

    python power_cut.py WHEN WHAT NUMBER VERB ...

WHEN is `before` or `after`; WHAT is an operation of AWS's API, or one of `STEPS`; NUMBER counts its
calls from 1. The process kills itself, so no clean-up of Python runs. With `ctrl-c` as WHEN it gets
SIGINT right after the call, and goes on as after Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from botocore.client import BaseClient

from gpustation.cli.app import main
from gpustation.move import steps
from gpustation.settings.cdk_json import Change

STEPS = {
    "write cdk.json": (Change, "write"),
    "replace cdk.json": (Path, "replace"),
    "deploy": (steps, "deploy"),
}
"""Steps that are no call of AWS, with what does them. `replace` is the last part of `write`."""


def end(when: str) -> None:
    if when == "ctrl-c":
        os.kill(os.getpid(), signal.SIGINT)
    else:
        cut()


def cut() -> NoReturn:
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        os.killpg(int(pid), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it lives")


def cutting(plain: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    left = [number]

    def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if when == "before" and not left[0]:
            cut()
        result = plain(*args, **kwargs)
        if not left[0]:
            end(when)
        return result

    return call


def prepare(when: str, what: str, number: int) -> None:
    if what in STEPS:
        place, name = STEPS[what]
        setattr(place, name, cutting(getattr(place, name), when, number))
        return
    plain = BaseClient._make_api_call
    only = cutting(plain, when, number)

    def call(self: BaseClient, operation: str, parameters: dict[str, Any]) -> Any:
        return (only if operation == what else plain)(self, operation, parameters)

    BaseClient._make_api_call = call


if __name__ == "__main__":
    prepare(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit(main(sys.argv[4:]))
