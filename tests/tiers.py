"""Which tests run in which tier, and what a run cost: the one place that says so.

A tier holds the tiers before it. Each suite (a folder here) belongs to one, ``test`` unless it is
named below; a test that costs more than its suite, or that proves a promise which only a costly
suite can show, is marked::

    @pytest.mark.tier("all")

A test with many rows of one kind has ``@pytest.mark.rows_in_make_test(2)``: the first two are of
its tier, the others of ``all``.

``--tier`` picks one; without it pytest runs whatever it was asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import resource
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Tier:
    """A choice of tests.

    Attributes:
        budget_seconds: How long it may take on two cores with nothing else running, set-up of the
            environment not counted. A run says where it stands; no test fails for it.
        workers_per_core: More than one where tests wait for other processes more than they work.
    """

    budget_seconds: int
    workers_per_core: int


TIERS = {
    "quick": Tier(budget_seconds=60, workers_per_core=1),
    "test": Tier(budget_seconds=720, workers_per_core=2),
    "all": Tier(budget_seconds=7200, workers_per_core=2),
}
"""By name, the smallest first: ``make quick``, ``make test``, ``make test-all``."""
SUITES = {
    "boot": "all",
    "e2e": "test",
    "cli": "test",
    "localaws": "all",
    "faults": "test",
    "userdata": "test",
    "leftovers": "test",
    "infra": "quick",
    "snapshot": "quick",
    "unit": "quick",
}
"""The tier of every suite; those with the longest tests come first, so that none is a tail."""
TEST_BY_TEST = {"boot", "e2e", "faults"}
"""Suites of tests that take seconds each and share at most the account; of the others a whole
module runs on one worker, for it shares templates, archives or accounts among its tests."""
MODULE_FIXTURE = 'scope="module"'
ROOT_OF_MACHINES = re.compile(r"\[debian-\d+")
"""In the id of a test that tests/boot/conftest.py gives a root."""
INSTALLED = re.compile(r"launched_from\(|installed: dict")
"""In a module whose machines start from the disk that tests/boot/installed.py makes once."""
LATER = 1.5
"""After the suite e2e, before those that come then."""
MAX_WORKERS = 8
STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6)
"""User, nice, system, interrupts: the columns of /proc/stat that are work (proc(5))."""
SLOWEST = 10


def tier_of(item: pytest.Item) -> str:
    """The tier of a test: its row's mark, else its own, else its module's or its suite's."""
    # pytest has a row's marks behind those of the function
    own = [mark for mark in item.own_markers if mark.name == "tier"]
    mark = own[-1] if own else item.get_closest_marker("tier")
    rows = item.get_closest_marker("rows_in_make_test")
    if rows is not None and max(_indices(item)) >= rows.args[0]:
        return "all"
    if mark is None:
        return SUITES.get(suite_of(item.nodeid), "test")
    (name,) = mark.args
    if name not in TIERS:
        raise pytest.UsageError(f"{item.nodeid}: tier({name!r}): take one of {', '.join(TIERS)}")
    return str(name)


def _indices(item: pytest.Item) -> list[int]:
    """The number of the test's row in each of its parameters."""
    callspec = getattr(item, "callspec", None)
    return [0, *callspec.indices.values()] if callspec else [0]


def suite_of(node: str) -> str:
    """The folder of a test in here, by its id; empty for one that lies elsewhere."""
    parts = node.partition("::")[0].split("/")
    return parts[1] if parts[0] == FOLDER.name and len(parts) > 2 else ""


def within(name: str, wanted: str) -> bool:
    """Whether a tier holds another."""
    names = [*TIERS]
    return names.index(name) <= names.index(wanted)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tier", choices=[*TIERS], help="the tests of this tier only")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Account(config), "account")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """For ``-n auto``."""
    tier = TIERS[config.getoption("--tier") or "test"]
    return min(tier.workers_per_core * (os.cpu_count() or 1), MAX_WORKERS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The quick tier does not even import the other suites: no mark can bring a test into it."""
    if config.getoption("--tier") != "quick" or not collection_path.is_relative_to(FOLDER):
        return None
    suite, *_ = collection_path.relative_to(FOLDER).parts or ("",)
    return SUITES.get(suite, "quick") != "quick" or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For every ``--dist``: see `_unit`."""
    from xdist.scheduler import LoadScopeScheduling  # not there where one test runs by itself

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return Scheduling(config, log)


def _unit(node: str) -> str:
    """What runs on one worker: a module whose tests share something, else the test alone.

    What is shared of machines that boot is shared among tests of one root.
    """
    path = node.partition("::")[0]
    if suite_of(node) in TEST_BY_TEST and not _shares(path):
        return node
    root = ROOT_OF_MACHINES.search(node)
    return path + (root[0] if root else "")


@functools.cache
def _shares(path: str) -> bool:
    """Whether a module keeps something for all of its tests."""
    return MODULE_FIXTURE in (FOLDER.parent / path).read_text()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Drop what is of a higher tier, and bring the longest suites first.

    The order of the suites comes after pytest-randomly, which has shuffled what is in them.
    """
    wanted = config.getoption("--tier")
    if wanted:
        dropped = [item for item in items if not within(tier_of(item), wanted)]
        if dropped:
            items[:] = [item for item in items if within(tier_of(item), wanted)]
            config.hook.pytest_deselected(items=dropped)
    yield
    suites = [*SUITES, *{suite_of(item.nodeid) for item in items}]
    waits = _waits_for_others(items)
    items.sort(key=lambda item: suites.index(suite_of(item.nodeid)) + waits.get(item.nodeid, 0))


def _waits_for_others(items: list[pytest.Item]) -> dict[str, float]:
    """How many suites later a test comes that starts from a disk which another one makes.

    The first unit of each root makes it, which takes two minutes; the others would wait for that
    on all workers.
    """
    made: dict[str, str] = {}
    later = {}
    for item in items:
        path = item.nodeid.partition("::")[0]
        if suite_of(item.nodeid) != "boot" or not _starts_from_a_disk(path):
            continue
        root = ROOT_OF_MACHINES.search(item.nodeid)
        unit = _unit(item.nodeid)
        if made.setdefault(root[0] if root else "", unit) == unit:
            later[item.nodeid] = -0.5
        else:
            later[item.nodeid] = LATER
    return later


@functools.cache
def _starts_from_a_disk(path: str) -> bool:
    """Whether a module's tests use the disk of an installed machine."""
    return bool(INSTALLED.search((FOLDER.parent / path).read_text()))


class Account:
    """What the run cost: told before pytest's own closing line."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began, self._cpu = time.monotonic(), _cpu_seconds()
        self._suites: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._suites[suite_of(report.nodeid)] += report.duration
        self._tests[report.nodeid] += report.duration

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._tests:
            return
        name = self._config.getoption("--tier")
        reporter, seconds = terminalreporter, time.monotonic() - self._began
        reporter.section("seconds per suite, set-up and tear-down included")
        for suite, spent in self._suites.most_common():
            count = sum(suite_of(node) == suite for node in self._tests)
            reporter.write_line(f"{spent:8.1f}  {suite or 'elsewhere'} ({count} tests)")
        reporter.section(f"the {SLOWEST} slowest tests")
        for node, spent in self._tests.most_common(SLOWEST):
            reporter.write_line(f"{spent:8.1f}  {node}")
        budget = f"of {TIERS[name].budget_seconds} s" if name else "no tier, no budget"
        reporter.section("tier")
        reporter.write_line(
            f"{name or 'as asked'}: {seconds:.0f} s {budget}, "
            f"{_cpu_seconds() - self._cpu:.0f} CPU seconds on this computer"
        )


def _cpu_seconds() -> float:
    """CPU time of the whole computer since its start, so that machines that boot count too.

    Where there is no /proc: of this process and of those that it started and saw end.
    """
    if STAT.exists():
        first = STAT.read_text().partition("\n")[0].split()
        return sum(int(first[1 + field]) for field in BUSY) / os.sysconf("SC_CLK_TCK")
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)
