"""Keeps trying to start a machine until EC2 has room for it, or the time is over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from gpustation.aws.calls import is_passing
from gpustation.aws.session import explain
from gpustation.workstation.machine import Machine
from gpustation.workstation.refusal import NotStartedError

FIRST_PAUSE, LONGEST_PAUSE, GROWTH = 30.0, 120.0, 1.5
"""Seconds between two attempts: room comes and goes within minutes, and EC2 throttles who asks
often."""
JITTER = 0.2
"""Part by which a pause varies, so that a class does not try in step."""

Say = Callable[[str], None]


def pauses(varied: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """The pauses between attempts, in seconds.

    Args:
        varied: Returns a number between two others. Default: a random one.
    """
    pause = FIRST_PAUSE
    while True:
        yield pause * varied(1 - JITTER, 1 + JITTER)
        pause = min(pause * GROWTH, LONGEST_PAUSE)


def start_patiently(start: Callable[[], Machine], minutes: int, say: Say) -> Machine:
    """Tries until it succeeds.

    Throttling and a lost network are tried again too. The last attempt is at the deadline.

    Args:
        start: One attempt.
        minutes: How long to try.
        say: Prints a line for each attempt that failed.

    Returns:
        The machine, which runs.

    Raises:
        NotStartedError: The time is over, or waiting would not help.
        ClientError: AWS refused for another reason.
    """
    begin = time.monotonic()
    deadline = begin + minutes * 60
    until = datetime.now(timezone.utc) + timedelta(minutes=minutes)
    for number, pause in enumerate(pauses(), 1):
        try:
            return start()
        except NotStartedError as refusal:
            if not refusal.cause.passes:
                raise
            error: Exception = refusal
            why = refusal.why
        except (ClientError, ConnectionError, HTTPClientError) as fault:
            if isinstance(fault, ClientError) and not is_passing(fault):
                raise
            error, why = fault, explain(fault)
        left = deadline - time.monotonic()
        if left <= 0:
            raise _over(error, number, minutes) from error
        pause = min(pause, left)
        say(
            f"attempt {number}: {why}; next in {pause:.0f} s, until {until:%Y-%m-%d %H:%M} UTC "
            "(Ctrl-C ends it)"
        )
        time.sleep(pause)
    raise AssertionError("pauses do not end")


def _over(error: Exception, attempts: int, minutes: int) -> Exception:
    """The last error, with how long it was tried."""
    if not isinstance(error, NotStartedError):
        return error
    tried = f"{error.why}, in {attempts} attempts in {minutes} minutes"
    return NotStartedError(error.machine, error.cause, tried, error.remedy)
