"""What the tests of the handlers share."""

from collections.abc import Callable, Iterator

import pytest

from gpustation.aws import account_plan, calls
from tests.unit.stubbed_aws import Event, StubbedAws, make_event


@pytest.fixture
def aws() -> Iterator[StubbedAws]:
    stubbed = StubbedAws()
    yield stubbed
    for stubber in stubbed.stubbers.values():
        stubber.deactivate()


@pytest.fixture
def event() -> Callable[..., Event]:
    return make_event


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits of the handlers take no time here; the list tells them."""
    told: list[float] = []

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return sum(told)

        @staticmethod
        def sleep(seconds: float) -> None:
            told.append(seconds)

    for module in (calls, account_plan):
        monkeypatch.setattr(module, "time", Clock)
    return told
