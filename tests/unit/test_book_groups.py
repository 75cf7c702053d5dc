from __future__ import annotations

import pytest

from tests.book.__main__ import BOOK, DOWNLOAD, GPUS, OURS, PACKAGES, RUNS, faults, gpus, judge

SECTION = "chapter_a/b"


def ending(name: str = "", value: str = "", hidden: tuple[int, ...] = (), first: str = "") -> str:
    error = {"name": name, "value": value, "trace": ""} if name else {}
    report = {"error": error, "pictures": 0, "hidden": [*hidden]}
    return judge(report, "mxnet", SECTION, [first]).group


@pytest.mark.parametrize(
    ("name", "value", "group"),
    [
        ("", "", RUNS),
        ("URLError", "<urlopen error [Errno -2] Name or service not known>", DOWNLOAD),
        ("RuntimeError", "Found no NVIDIA driver on your system", GPUS),
        ("MXNetError", "Check failed: GPU is not enabled", GPUS),
        ("ModuleNotFoundError", "No module named 'torch'", OURS),
        ("NameError", "name 'np' is not defined", OURS),
    ],
)
def test_an_error_puts_a_section_into_its_group(name: str, value: str, group: str) -> None:
    assert ending(name, value) == group


def test_a_plot_that_is_not_shown_is_a_fault_of_ours() -> None:
    assert ending(hidden=(3,)) == OURS


def test_a_missing_package_is_no_fault_where_the_first_cell_names_it() -> None:
    first = '# This section needs\n# %pip install "bandits"'
    assert ending("ModuleNotFoundError", "No module named 'bandits'", first=first) == PACKAGES


def test_a_known_fault_is_the_books(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faults.KNOWN, ("mxnet", SECTION), "a name is never defined")
    assert ending("NameError", "name 'a' is not defined") == BOOK


@pytest.mark.parametrize(
    ("code", "count"),
    [("train(try_gpu())", 1), ("try_gpu(1)", 2), ("npx.gpu(0)", 1), ("train(num_gpus=2)", 2)],
)
def test_the_gpus_that_a_section_names_are_counted(code: str, count: int) -> None:
    assert gpus([code]) == count
