"""docs/proven.md is what the tests and the evidence files say, and the pages of the evidence."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from acceptance.evidence import ProbeAnswer, write
from acceptance.page import page
from acceptance.proven import CLAIMS, FOLDER, PROVEN, README, cells, main, pages, witnesses
from acceptance.questions import PARTS, QUESTIONS
from gpustation.console.errors import CommandError
from tests.unit.made_up_run import EMBEDDED, evidence

NAMED = re.compile(r"`([\w./*-]+|python -m [\w.]+)`")
NAME = "2026-12-01-eu-central-1-g4dn.xlarge.json"
LINK = "[2026-12-01 eu-central-1 g4dn.xlarge](proven/2026-12-01-eu-central-1-g4dn.xlarge.md)"


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """A checkout without evidence."""
    for name in (CLAIMS, PROVEN, README):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, tmp_path / name)
    for path, text in pages(tmp_path).items():
        path.write_text(text)
    return tmp_path


def added(folder: Path, **changes: Any) -> str:
    """What docs/proven.md becomes with one more run."""
    write(evidence(**changes), folder / FOLDER)
    return pages(folder)[folder / PROVEN]


def row(text: str, start: str) -> list[str]:
    """The cells of the only line of a table that begins like this."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return cells(line)


def promises(root: Path) -> list[dict[str, str]]:
    """The rows of all tables in the list of promises, by the names of their columns."""
    rows: list[dict[str, str]] = []
    head: list[str] = []
    for line in (root / CLAIMS).read_text().splitlines():
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells(line)
        elif not line.startswith("|---"):
            rows.append(dict(zip(head, cells(line), strict=True)))
    return rows


def test_the_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_promise_names_tests_that_are_there(root: Path) -> None:
    """A name without a folder is in the folder of the name before it."""
    rows = [row for row in promises(root) if "tests" in row]
    assert len(rows) > 50
    for row in rows:
        folder, count = "", 0
        for name in NAMED.findall(row["tests"]):
            if name.startswith("python -m "):
                path = f"{name.split()[-1].replace('.', '/')}/__main__.py"
            elif "/" in name:
                path, folder = name, name.rpartition("/")[0]
            else:
                path = f"{folder}/{name}"
            assert [*root.glob(path)], f"{row['promise']}: {name}"
            count += 1
        assert count, row["promise"]


def test_every_question_is_of_a_promise(root: Path) -> None:
    named = {
        witness.name
        for row in promises(root)
        for witness in witnesses(row.get("on AWS", ""), row.get("promise", ""))
    }
    assert named >= {*QUESTIONS}
    assert {part for question in QUESTIONS.values() for part in question.parts} <= {*PARTS}


@pytest.mark.parametrize(
    "cell", ["dance", "deploy gpus=many", "deploy framework=jax", "deploy zone=a", "S1"]
)
def test_a_promise_names_only_what_a_run_has(copy: Path, cell: str) -> None:
    claims = copy / CLAIMS
    claims.write_text(claims.read_text().replace("| bootstrap |", f"| {cell} |"))
    with pytest.raises(CommandError, match=rf"claims\.md: line \d+: '{cell}' is no part or probe"):
        pages(copy)


def test_a_cell_too_many_is_refused(copy: Path) -> None:
    claims = copy / CLAIMS
    claims.write_text(claims.read_text().replace("| bootstrap |", "| bootstrap | deploy |"))
    with pytest.raises(CommandError, match=r"has 4 cells, and its table 3; write a \| inside"):
        pages(copy)


def test_without_evidence_nobody_has_yet(copy: Path) -> None:
    text = pages(copy)[copy / PROVEN]
    assert "**Nobody has deployed\nthis project to an AWS account" in text
    assert row(text, "`cdk bootstrap` |")[-1] == "`bootstrap`: nobody has yet"
    assert row(text, "several people")[-1] == "-"
    assert row(text, "`spot` |")[-1] == "nobody has yet"
    assert row(text, "S5 |")[-1] == "nobody has yet"
    assert "Nobody has deployed it to an AWS account yet." in pages(copy)[copy / README]


def test_a_local_run_changes_no_page(copy: Path) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    local = write(evidence(**EMBEDDED), copy / "build/acceptance")
    assert {path: text.encode() for path, text in pages(copy).items()}.items() <= before.items()
    (copy / FOLDER).mkdir()
    shutil.copy(local, copy / FOLDER)
    with pytest.raises(CommandError, match="shows nothing about AWS, so it may not be in"):
        pages(copy)


def test_a_made_up_file_with_a_key_stops_the_pages(copy: Path) -> None:
    path = write(evidence(), copy / FOLDER)
    path.write_text(path.read_text().replace("Tesla T4", "AKIAIOSFODNN7EXAMPLE"))
    with pytest.raises(CommandError, match="an access key id, which no evidence file may have"):
        pages(copy)


def test_a_run_on_aws_is_named_where_it_shows_something(copy: Path) -> None:
    text = added(copy)
    assert f"**Deployed to AWS:** {LINK}." in text.replace("\n", " ")
    assert "**Computed on a GPU:** nobody has yet." in text.replace("\n", " ")
    assert row(text, "`deploy` |")[-1] == LINK
    assert row(text, "`spot` |")[-1] == "nobody has yet"
    assert row(text, "deploy, deploy again")[-1] == (
        f"`deploy`: {LINK}; `power`, `destroy`, `leftovers`: nobody has yet"
    )
    assert row(text, "S5 |")[-1] == f"no {LINK}"
    assert row(text, "[2026-12-01")[:4] == [LINK, "0.1.0 0123456789ab", "mxnet", "1 of 18"]
    readme = pages(copy)[copy / README]
    assert "was last deployed to AWS on 2026-12-01, as a g4dn.xlarge." in readme.replace("\n", " ")
    assert "Nobody has deployed" not in readme + text


def test_a_failure_is_told_until_a_later_run_shows_the_part(copy: Path) -> None:
    (deploy, _) = evidence().parts
    failed = dataclasses.replace(deploy, verdict="failed", why="DriverReady timed out")
    text = added(copy, parts=(failed,))
    assert row(text, "`deploy` |")[-1] == f"failed {LINK}"
    assert "Nobody has deployed" in text
    assert f"The newest attempt is {LINK}." in text.replace("\n", " ")
    second = LINK.replace(".md", "-2.md")
    assert row(added(copy), "`deploy` |")[-1] == second
    third = LINK.replace(".md", "-3.md")
    text = added(copy, parts=(failed,))
    assert row(text, "`deploy` |")[-1] == f"{second}, but failed {third}"
    assert "In the newest run failed: `deploy`." in text.replace("\n", " ")


def test_runs_of_one_day_are_in_the_order_of_their_numbers(copy: Path) -> None:
    for _ in range(10):
        write(evidence(), copy / FOLDER)
    text = added(copy)
    assert row(text, "`deploy` |")[-1] == LINK.replace(".md", "-11.md")
    text = added(copy, date="2026-12-02")
    assert "2026-12-02" in row(text, "`deploy` |")[-1]


def test_an_answer_that_changed_is_told_with_the_earlier_one(copy: Path) -> None:
    unknown = ProbeAnswer("S5", QUESTIONS["S5"].text, "unknown", "no journal")
    assert row(added(copy, probes=(unknown,)), "S5 |")[-1] == "nobody has yet"
    added(copy)
    yes = ProbeAnswer("S5", QUESTIONS["S5"].text, "yes", "it slept")
    text = added(copy, date="2027-01-01", probes=(yes,))
    newest = LINK.replace("2026-12-01", "2027-01-01")
    earlier = LINK.replace(".md", "-2.md")
    assert row(text, "S5 |")[-1] == f"yes {newest}; no {earlier}"


def test_a_promise_about_several_gpus_needs_a_type_that_has_them(copy: Path) -> None:
    (deploy, _) = evidence().parts
    compute = dataclasses.replace(deploy, part="compute")
    text = added(copy, parts=(compute,))
    assert row(text, "a type with four GPUs")[-1] == "`compute` (4 GPUs): nobody has yet"
    text = added(copy, parts=(compute,), instance_type="g4dn.12xlarge")
    assert row(text, "a type with four GPUs")[-1].startswith("`compute` (4 GPUs): [2026-12-01")


def test_a_promise_about_a_framework_needs_it(copy: Path) -> None:
    start = "the Python archive"
    text = added(copy, framework="pytorch")
    assert row(text, start)[-1] == "`deploy` (mxnet): nobody has yet"
    assert "2026-12-01" in row(added(copy), start)[-1]


def test_the_command_writes_checks_and_deletes(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("acceptance.proven.ROOT", copy)
    path = write(evidence(), copy / FOLDER)
    own = path.with_name(path.name.replace(".json", ".md"))
    assert main(["--check"]) == 1
    (about_page, about_all, about_readme) = capsys.readouterr().err.splitlines()
    assert about_page.startswith(f"{own.relative_to(copy)} is not what {CLAIMS} and ")
    assert about_all.startswith(PROVEN)
    assert about_readme.endswith("say; change those, then run `python -m acceptance.proven`")
    assert not own.exists()
    assert main([]) == 0
    assert own.read_text() == page(evidence(), NAME)
    assert main(["--check"]) == 0
    path.unlink()
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert not own.exists()
    assert "Nobody has deployed" in (copy / PROVEN).read_text()


def test_the_page_has_everything_of_the_run() -> None:
    text = page(evidence(), NAME)
    for words in (
        "# An acceptance run: 2026-12-01 eu-central-1 g4dn.xlarge",
        f"[{NAME}]({NAME})",
        "| machine | g4dn.xlarge (1 x T4), ec2 |",
        "| gpustation | 0.1.0, commit `0123456789ab` |",
        "| duration | 1 h 30 min |",
        "1.20 spent; 1.50 expected, 4.00 at most",
        "1 of 18 parts were shown.",
        "| `deploy` | cdk deploy | shown | 803 | 0.12 |",
        "| `deploy` | ready | `Tesla T4, driver 580.126.09, MXNet 1.9.1` |",
        "| `spot` | not shown | no spot quota |",
        "| `bench` | not shown | not a part of this run |",
        "| S5 | Did AWS refuse the SSM agent",
        "| no | the agent was connected after 3 s | The role took effect in time here.",
        "## What was left at the end\n\nNothing.",
        "| Amazon Elastic Compute Cloud | 1.25 |\n| all | 1.25 |",
    ):
        assert words in text
    text = page(evidence(bill=(), leftovers=("<id> gp3 64 GiB",), probes=()), NAME)
    assert "| `<id> gp3 64 GiB` |" in text
    assert "No question was asked." in text
    assert "Nobody has added it yet" in text
    assert "shows nothing about AWS" in page(evidence(**EMBEDDED), NAME)


def test_text_of_others_has_no_meaning_in_a_page() -> None:
    (deploy, spot) = evidence().parts
    hostile = "a | b\n# c <script> [d](http://e) `f` *g* <account>"
    part = dataclasses.replace(deploy, what=hostile, evidence={hostile: hostile})
    text = page(evidence(parts=(part, dataclasses.replace(spot, why=hostile))), NAME)
    plain = r"a \| b \# c \<script\> \[d\](http://e) \`f\` \*g\* \<account\>"
    code = r"`a \| b # c <script> [d](http://e) 'f' *g* <account>`"
    assert f"| `deploy` | {plain} | shown |" in text
    assert f"| `deploy` | {plain} | {code} |" in text
    assert f"| `spot` | not shown | {plain} |" in text
    assert "\n# c" not in text


def test_a_page_is_the_same_every_time_and_not_wide() -> None:
    long = "word " * 100
    (deploy, spot) = evidence().parts
    run = evidence(parts=(dataclasses.replace(deploy, what=long), spot), leftovers=(long,))
    text = page(run, NAME)
    assert text == page(run, NAME)
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
