"""What a person reads of a search for leftovers, and the exit status that a job takes."""

from __future__ import annotations

import dataclasses
import datetime
import io

import pytest
from rich.console import Console

from gpustation.leftovers import Leftover, NotChecked, Result
from gpustation.leftovers import __main__ as command_line
from gpustation.leftovers.prices import machine, parameter, snapshot, volume
from gpustation.leftovers.report import conclusion, exit_status, report
from gpustation.leftovers.result import chain, command

MADE = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3, hours=1)
DISK = Leftover(
    kind="volume",
    id="vol-0123456789abcdef0",
    region="us-east-1",
    created=MADE,
    usd_per_month=5.12,
    cost="64 GiB of gp3",
    ours="tag gpustation=[alice]",
    removal="aws ec2 delete-volume --region us-east-1 --volume-id vol-0123456789abcdef0",
)
SAVED = Leftover(
    kind="snapshot",
    id="snap-0123456789abcdef0",
    region="us-east-1",
    created=None,
    usd_per_month=3.2,
    cost="at most: 64 GiB, were the disk full",
    ours="tag gpustation=alice",
    removal="aws ec2 delete-snapshot",
    stays="a person saved it",
)
DENIED = NotChecked("ec2:DescribeVpcs", "us-east-1", "UnauthorizedOperation: no")


def result(*rows: Leftover, not_checked: tuple[NotChecked, ...] = ()) -> Result:
    return Result("123456789012", "us-east-1", rows, not_checked)


def shown(found: Result) -> str:
    text = io.StringIO()
    report(found, Console(file=text))
    return text.getvalue()


@pytest.mark.parametrize(
    ("found", "status", "says"),
    [
        (result(), 0, "Nothing is left."),
        (result(SAVED), 0, "Nothing is left but what stays on purpose."),
        (result(DISK), 1, "1 left, 5.12 USD per month (USD, us-east-1, machines as of 2026-07-20"),
        (result(DISK, not_checked=(DENIED,)), 1, "Not everything was looked at: see above."),
        (result(not_checked=(DENIED,)), 3, "Could not be checked: nothing was found, and not"),
        (result(SAVED, not_checked=(DENIED,)), 3, "Could not be checked: nothing was found"),
    ],
)
def test_status_and_conclusion(found: Result, status: int, says: str) -> None:
    assert exit_status(found) == status
    assert says in conclusion(found)
    assert conclusion(found) in shown(found)


def test_rows_are_whole_and_commands_unbroken() -> None:
    text = shown(result(DISK, SAVED, not_checked=(DENIED,)))
    assert "Account 123456789012, region us-east-1" in text
    assert f"\n{DISK.removal}\n" in text
    assert SAVED.removal not in text, "what stays is not offered for removal in one go"
    for words in (DISK.id, "3 days", "5.12", "64 GiB of gp3", "tag gpustation=[alice]"):
        assert words in text
    for words in (SAVED.id, "a person saved it", DENIED.action, DENIED.reason):
        assert words in text


def test_stacks_go_first_and_take_theirs_along() -> None:
    stack = dataclasses.replace(DISK, kind="stack", id="alice", removal="aws delete-stack")
    lines = shown(result(stack, DISK)).splitlines()
    first = lines.index(stack.removal)
    assert lines[first + 1].startswith("# what belongs to a stack goes with it")
    assert lines[first + 2] == DISK.removal
    assert not [line for line in shown(result(DISK)).splitlines() if line.startswith("#")]


def test_costs() -> None:
    usd, words = machine("t3.micro", "running", with_address=True)
    assert usd == pytest.approx(3.65)
    assert "the price of a t3.micro is not known here, and not counted" in words
    assert machine("p5e.48xlarge", "running", with_address=False)[0] == 0.0
    assert machine("g5.xlarge", "stopping", with_address=True)[0] == 0.0
    assert volume("gp4", 10)[0] == 0.0
    assert snapshot("archive", 100, 0)[0] == pytest.approx(1.25)
    assert snapshot("standard", 100, 20 * 2**30)[0] == pytest.approx(1.0)
    assert parameter("Advanced")[0] == 0.05


def test_commands_are_quoted() -> None:
    made = command("iam delete-role-policy", role_name="a", policy_name="with blanks; and $x")
    assert made == "aws iam delete-role-policy --role-name a --policy-name 'with blanks; and $x'"
    assert chain("", "a", "", "b") == "a && b"


def test_wrong_usage_and_missing_region(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--colour"])
    assert ended.value.code == 2
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/such/file")
    assert command_line.main([]) == 3
    assert capsys.readouterr().err.endswith(
        "leftovers: no region: set AWS_REGION or pass --region, e.g. us-east-1\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert command_line.main([]) == 3
    assert "nobody" in capsys.readouterr().err
