"""What a person reads of a search for leftovers, and the exit status that a job takes."""

from __future__ import annotations

import dataclasses
import datetime
import io
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from botocore.exceptions import MissingDependencyException
from rich.console import Console

from gpustation.catalog.prices import machine, parameter, snapshot, volume
from gpustation.cli.app import main
from gpustation.console.shown_text import visible
from gpustation.leftovers import Leftover, NotChecked, Result, find
from gpustation.leftovers import report as reporting
from gpustation.leftovers.commands import REFUSED, chain, command
from gpustation.leftovers.ownership import Ownership
from gpustation.leftovers.report import conclusion, exit_status, report
from gpustation.leftovers.result import leftover

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
    cost="at most: 64 GiB, if the disk is full",
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
        (result(SAVED), 0, "Nothing is left except what is kept on purpose."),
        (result(DISK), 1, "1 left, 5.12 USD per month (USD, us-east-1, machines as of 2026-07-20"),
        (result(DISK, not_checked=(DENIED,)), 1, "Not everything could be checked: see above."),
        (
            result(not_checked=(DENIED,)),
            3,
            "Nothing was found, but not everything could be checked",
        ),
        (
            result(SAVED, not_checked=(DENIED,)),
            3,
            "Nothing was found, but not everything could be checked",
        ),
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
    assert lines[first + 1].startswith("# this also deletes the stack's resources")
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
    made = command("iam delete-role-policy", role_name="a", policy_name="b")
    assert made == "aws iam delete-role-policy --role-name a --policy-name b"
    assert chain("", "a", "", "b") == "a && b"


@pytest.mark.parametrize(
    "value",
    [
        *("file:///etc/passwd", "fileb://key", "http://192.0.2.1/", "https://x", "FILE://x"),
        *("-x", "--region", "", " ", "a b", "a\nb", "a\n", "a\tb", "a'b", 'a"b', "a\\b"),
        *("$(id)", "`id`", "$HOME", "a;b", "a|b", "a&b", "a>b", "~", "*", "a?", "!a", "#a", "(a)"),
        *("a=b,c=d", "[1]", "{}", "{a,b}", "%41", "\x1b[2J", "a\u202eb", "a\u200bb", "\u0440", "é"),
    ],
)
def test_value_that_means_something_else_is_in_no_command(value: str) -> None:
    """The AWS CLI reads `file://` and `http://` wherever a value may stand."""
    made = command("iam delete-role", role_name=value)
    assert made == REFUSED
    assert command("ec2 delete-vpc", value, vpc_id="vpc-1") == (
        "aws ec2 delete-vpc --vpc-id vpc-1" if value == "" else REFUSED
    )
    assert chain("aws iam first", made, "aws iam last") == REFUSED


@pytest.mark.parametrize(
    "value",
    [
        *("vol-0123456789abcdef0", "/aws/lambda/GpuImage-A_b.c", "/gpustation/image/mxnet"),
        "arn:aws:imagebuilder:us-east-1:123456789012:image/gpuimage-mxnet/1.0.0/1",
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
    ],
)
def test_names_and_ids_of_ours_need_no_quotes(value: str) -> None:
    assert command("x y", "us-east-1", z=value) == f"aws x y --region us-east-1 --z {value}"


HOSTILE = "\x1b[2J\u009b31m\u202eback\u2066\u200b\ufeff\r\naws iam delete-user\u2028[bold]\\x"
SHOWN = (
    "\\x1b[2J\\x9b31m\\u202eback\\u2066\\u200b\\ufeff\\r\\naws iam delete-user\\u2028[bold]\\\\x"
)


def test_text_of_others_is_shown_and_not_obeyed() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("plain: a/b 'c' \"d\" ~") == "plain: a/b 'c' \"d\" ~"
    for field in ("id", "cost", "ours", "removal", "stays", "doubt"):
        row = dataclasses.replace(DISK, **{field: HOSTILE})
        text = shown(result(row))
        assert set(text) - set("\n") <= EXPECTED, field
    denied = NotChecked(HOSTILE, HOSTILE, HOSTILE)
    text = shown(Result(HOSTILE, HOSTILE, (), (denied,)))
    assert set(text) - set("\n") <= EXPECTED
    assert [line for line in text.splitlines() if line.startswith("aws ")] == []


EXPECTED = {chr(one) for one in range(32, 127)} | set("┃━┏┓┡┩╇┳│┴└┘─┼┤├")
"""What a report is made of: ASCII, and the lines of its tables."""


def test_what_is_in_doubt_is_a_comment_and_comes_before_what_is_not() -> None:
    why = Ownership("its name", "not proven to be ours")
    removal = "aws iam delete-role --role-name GpuImage-thumbnails"
    doubtful = leftover("role", "GpuImage-thumbnails", "global", why, removal)
    assert doubtful.removal == f"# not proven to be ours: {removal}"
    found = result(DISK, doubtful)
    assert exit_status(found) == exit_status(result(doubtful)) == 1
    assert (found.doubtful, found.usd_per_month) == ((doubtful,), 5.12)
    assert "1 left, 5.12 USD per month" in conclusion(found)
    assert "1 more may be: look at each." in conclusion(found)
    lines = shown(found).splitlines()
    start = lines.index("To remove everything, in this order:")
    assert lines.index(doubtful.removal) < start
    assert [line for line in lines if line.startswith("aws ")] == [DISK.removal]
    assert not [line for line in shown(result(doubtful)).splitlines() if line.startswith("aws ")]
    refused = leftover("role", "-x", "global", why, REFUSED)
    assert refused.removal == REFUSED


def test_nothing_that_a_report_prints_runs_but_its_commands(tmp_path: Path) -> None:
    """A person may paste the whole of it."""
    names = [f"$(touch {tmp_path}/a)", f"x\ntouch {tmp_path}/b\n", f"`touch {tmp_path}/c`", "'"]
    rows = []
    for number, name in enumerate(names):
        why = Ownership(f"tag gpustation={name}", name if number % 2 else "")
        rows.append(leftover("role", name, "global", why, command("iam delete-role", x=name)))
    lines = [line for line in shown(result(*rows)).splitlines() if line.startswith(("aws", "#"))]
    subprocess.run(["bash", "-c", "\n".join(lines)], check=False, env={"PATH": "/usr/bin:/bin"})
    assert list(tmp_path.iterdir()) == []
    assert lines == [REFUSED] * len(names)


def test_wrong_usage_and_missing_region(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["leftovers", "--colour"]) == 2
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/no/such/file")
    assert main(["leftovers"]) == 3
    assert capfd.readouterr().err.endswith(
        "leftovers: no region: set AWS_REGION or pass --region, e.g. us-east-1\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert main(["leftovers"]) == 3
    assert "nobody" in capfd.readouterr().err


def test_the_table_names_its_columns() -> None:
    head = shown(result(DISK))
    for name in ("kind", "id", "age", "USD/month", "what costs, and why it is listed"):
        assert f" {name} " in head


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", [(find, "find_leftovers"), (reporting, "report")])
def test_a_signal_ends_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
    where: tuple[ModuleType, str],
) -> None:
    """Also while it prints: a traceback would be the last thing that a person reads."""
    monkeypatch.setattr(find, "find_leftovers", lambda **_: result(DISK))
    monkeypatch.setattr(*where, lambda *_, **__: os.kill(os.getpid(), number))
    assert main(["leftovers"]) == 128 + number
    assert capfd.readouterr().err == "leftovers: interrupted\n"


def test_credentials_that_need_another_package_are_explained(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def missing(**_: object) -> None:
        raise MissingDependencyException(msg="Using the login credential provider requires crt")

    monkeypatch.setattr(find, "find_leftovers", missing)
    assert main(["leftovers"]) == 3
    assert "awscrt" in capfd.readouterr().err


READ_BY_NOBODY = """
import os, pickle, sys
from gpustation.cli.app import main
from gpustation.leftovers import find
found = pickle.loads(bytes.fromhex(sys.argv[1]))
find.find_leftovers = lambda **_: found
reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(reader)
os.close(writer)
sys.exit(main(["leftovers"]))
"""


@pytest.mark.parametrize(("rows", "status"), [([], 0), ([DISK], 1)], ids=["nothing", "a disk"])
def test_a_closed_pipe_changes_no_exit_status(rows: list[Leftover], status: int) -> None:
    """Nor does it show a trace: only a process of its own has an output that can be closed."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    known["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", READ_BY_NOBODY, pickle.dumps(result(*rows)).hex()],
        env=known,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, "")
