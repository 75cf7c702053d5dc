"""Evidence files of acceptance runs: what they hold, what they may not hold, where they may be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from acceptance.evidence import ProbeAnswer, read, rewrite, short_commit, write
from gpustation.console.errors import CommandError
from tests.unit.made_up_run import EMBEDDED, evidence


def changed(path: Path, change: dict[str, Any]) -> None:
    """Change a file by hand; a value of ``...`` removes its key."""
    document = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not ...}))


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = write(evidence(), tmp_path / "proven")
    assert path.name == "2026-12-01-eu-central-1-g4dn.xlarge.json"
    assert read(path) == evidence()
    assert write(evidence(), tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_second_run_of_a_day_has_a_name_of_its_own(tmp_path: Path) -> None:
    paths = [write(evidence(seconds=float(n)), tmp_path) for n in range(3)]
    stem = "2026-12-01-eu-central-1-g4dn.xlarge"
    assert [path.name for path in paths] == [f"{stem}.json", f"{stem}-2.json", f"{stem}-3.json"]
    assert [read(path).seconds for path in paths] == [0, 1, 2]
    write(evidence(instance_type="g6.xlarge"), tmp_path)
    assert len([*tmp_path.iterdir()]) == 4


def test_a_bill_that_comes_later_is_added(tmp_path: Path) -> None:
    path = write(evidence(bill=()), tmp_path)
    rewrite(evidence(), path)
    assert read(path).bill == (("Amazon Elastic Compute Cloud", 1.25),)
    assert [*tmp_path.iterdir()] == [path]


def test_a_line_of_output_is_written_with_placeholders(tmp_path: Path) -> None:
    (deploy, spot) = evidence().parts
    part = dataclasses.replace(
        deploy,
        verdict="failed",
        why="arn:aws:iam::123456789012:role/Admin may not do it",
        evidence={"first line of 10.0.0.7": "ssh ubuntu@18.197.3.4", "GPUs": 1},
    )
    path = write(evidence(parts=(part, spot), leftovers=("vol-0123456789abcdef0",)), tmp_path)
    found = read(path)
    assert found.parts[0].why == "arn:aws:iam::<account>:role/Admin may not do it"
    assert found.parts[0].evidence == {"first line of <address>": "ssh ubuntu@<address>", "GPUs": 1}
    assert found.leftovers == ("<id>",)


@pytest.mark.parametrize(
    "secret",
    [
        "123456789012",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "http://127.0.0.1:8888/?token=abcdef",
        "18.197.3.4",
    ],
)
def test_a_made_up_file_with_a_secret_is_refused(tmp_path: Path, secret: str) -> None:
    path = write(evidence(), tmp_path)
    path.write_text(path.read_text().replace("Tesla T4", secret))
    with pytest.raises(CommandError, match=r"parts\[0\]\.evidence\.ready: .*; write <") as raised:
        read(path)
    assert secret not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_finished_file_is_examined_too(tmp_path: Path) -> None:
    (deploy, _) = evidence().parts
    part = dataclasses.replace(deploy, evidence={"account": 123456789012})
    with pytest.raises(CommandError, match="more than 10 digits"):
        write(evidence(parts=(part,)), tmp_path)
    question = ProbeAnswer("S5", "Is it 10.1.2.3?", "no", "")
    with pytest.raises(CommandError, match="an IPv4 address"):
        write(evidence(probes=(question,)), tmp_path)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("folder", ["docs/proven", "docs/proven/local", "link", "Docs/Proven"])
def test_a_local_run_never_lands_in_docs_proven(tmp_path: Path, folder: str) -> None:
    (tmp_path / "docs/proven").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "docs/proven")
    with pytest.raises(CommandError, match="shows nothing about AWS, so it may not be in"):
        write(evidence(**EMBEDDED), tmp_path / folder)
    assert [*(tmp_path / "docs/proven").iterdir()] == []
    elsewhere = write(evidence(**EMBEDDED), tmp_path / "build")
    assert read(elsewhere).where == "embedded"
    moved = elsewhere.rename(tmp_path / "docs/proven" / elsewhere.name)
    with pytest.raises(CommandError, match="shows nothing about AWS"):
        read(moved)
    assert write(evidence(), tmp_path / "docs/proven").name.startswith("2026-12-01")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema=2 must be 1"),
        ({"where": "gcp"}, "where='gcp' must be one of aws, embedded"),
        ({"machine": "booted"}, "machine='booted' must be one of ec2"),
        ({"date": "2026-13-01"}, "month must be in 1..12"),
        ({"date": "20261201"}, "date='20261201' must be a day"),
        ({"region": "Frankfurt"}, "region='Frankfurt' must be a region"),
        ({"instance_type": "../x"}, "instance_type='../x' must be an instance type"),
        ({"framework": "jax"}, "framework='jax' must be one of mxnet, pytorch"),
        ({"commit": "main"}, "commit='main' must be 12 or 40 hex digits"),
        ({"version": "new"}, "version='new' must be a version"),
        ({"seconds": "5"}, "seconds must be a number"),
        ({"seconds": True}, "seconds must be a number"),
        ({"seconds": -1}, "seconds=-1 must be 0 or more"),
        ({"usd": {"expected": 1, "maximum": 2}}, "usd.spent is missing"),
        ({"bill": ...}, "bill is missing"),
        ({"host": "x"}, "host is no field of it"),
        ({"parts": {}}, "parts must be a list"),
        ({"leftovers": [1]}, r"leftovers\[0\] must be text"),
        ({"bill": [["EC2"]]}, r"bill\[0\] must be a service and its USD"),
        ({"probes": [{}]}, r"probes\[0\]\.answer is missing"),
    ],
)
def test_a_file_of_another_form_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(evidence(), tmp_path)
    changed(path, change)
    with pytest.raises(CommandError, match=f"{path.name} is no evidence.*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "dance"}, "parts.0..part='dance' must be one of doctor, "),
        ({"verdict": "maybe"}, "must be one of shown, failed, not shown"),
        ({"why": "so"}, "why of a part that is shown must be empty"),
        ({"verdict": "failed"}, "why of a part that is failed must say the reason"),
        ({"evidence": {"a": [1]}}, "evidence.a must be text or a number"),
        ({"evidence": {"a": True}}, "evidence.a must be text or a number"),
        ({"evidence": []}, "evidence must be an object"),
        ({"part": "spot"}, "parts: spot is there twice"),
    ],
)
def test_a_part_of_another_form_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = write(evidence(), tmp_path)
    first, *others = json.loads(path.read_text())["parts"]
    changed(path, {"parts": [first | change, *others]})
    with pytest.raises(CommandError, match=message):
        read(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"a": NaN}', "[" * 100_000],
    ids=["empty", "list", "null", "half", "NaN", "deep"],
)
def test_a_file_that_is_no_evidence_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "2026-12-01-eu-central-1-g4dn.xlarge.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=r"is no evidence of an acceptance run") as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = write(evidence(), tmp_path)
    path.write_text(path.read_text().replace('"where"', '"where": "aws",\n "where"', 1))
    with pytest.raises(CommandError, match="a key is there twice"):
        read(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.json: No such file"):
        read(tmp_path / "none.json")
    (tmp_path / "picture.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="is not text"):
        read(tmp_path / "picture.json")


@pytest.mark.parametrize(
    "name", ["x.json", "2026-12-02-eu-central-1-g4dn.xlarge.json", "{}-1.json"]
)
def test_a_file_has_the_name_of_its_run(tmp_path: Path, name: str) -> None:
    path = write(evidence(), tmp_path)
    with pytest.raises(CommandError, match=r"its name must be 2026-12-01-"):
        read(path.rename(tmp_path / name.format(path.stem)))


def test_a_commit_that_looks_like_an_account_id_is_written_whole(tmp_path: Path) -> None:
    digits = "123456789012" + "ab" * 14
    assert short_commit(digits) == digits
    assert short_commit("ab" * 20) == "ab" * 6
    assert short_commit("") == ""
    assert read(write(evidence(commit=digits), tmp_path)).commit == digits
