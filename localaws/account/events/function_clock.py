"""Gives Python functions the account's clock, as Lambda's functions have AWS's."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ministack.core import lambda_runtime

from localaws.account.clock import Clock

SCRIPT = Path(__file__).with_name("function_time.py")


def install(clock: Clock) -> None:
    """Run a script before ministack's in the process of a function."""
    noted = Path(tempfile.mkdtemp(prefix="clock-")) / "ahead"

    def note(seconds: float) -> None:
        fresh = noted.with_suffix(".new")
        fresh.write_text(str(seconds))
        fresh.replace(noted)

    clock.moved = note
    first = f"import runpy; runpy.run_path({str(SCRIPT)!r}, {{'CLOCK': {str(noted)!r}}})\n"
    lambda_runtime._PYTHON_WORKER_SCRIPT = first + lambda_runtime._PYTHON_WORKER_SCRIPT
