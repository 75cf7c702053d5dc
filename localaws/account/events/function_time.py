"""Moves the time of a function's process; runs in it, before the function is imported.

`CLOCK` is the file that holds by how many seconds the account's clock is ahead; there is none
before it is first moved. Only `time.time` and `datetime` are moved, not what libraries in C read.
"""

from __future__ import annotations

import datetime
import time
from datetime import date as _RealDate
from datetime import datetime as _RealDatetime
from pathlib import Path
from typing import Any

_CLOCK = Path(globals()["CLOCK"])
_real_time = time.time


def _now() -> float:
    try:
        return _real_time() + float(_CLOCK.read_text())
    except FileNotFoundError:
        return _real_time()


class _Like(type):
    """Lets what C code makes pass as the class that replaces it."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.__mro__[1])


class _MovedDatetime(_RealDatetime, metaclass=_Like):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(_now(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.fromtimestamp(_now(), datetime.timezone.utc).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _MovedDate(_RealDate, metaclass=_Like):
    @classmethod
    def today(cls) -> Any:
        return cls.fromtimestamp(_now())


# The names are what a function imports
module: Any = datetime
time.time = _now
module.datetime, module.date = _MovedDatetime, _MovedDate
