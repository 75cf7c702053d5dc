"""What is synthesized is read, and neither processes nor files of it stay."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from gpustation.console.interrupts import SIGNALS, Interrupted
from gpustation.plan.assembly import AssemblyError, read_assembly, synthesize

MANIFEST = {
    "artifacts": {
        "Mine": {"type": "aws:cloudformation:stack", "properties": {"templateFile": "t.json"}}
    }
}
SYNTHESIZES = """#!/bin/sh
printf '%s\\n' "$@" > "$SEEN"
while [ "$1" != --output ]; do shift; done
mkdir "$2"
echo '{}' > "$2/t.json"
cp "$MANIFEST" "$2/manifest.json"
touch "$TMPDIR/left behind"
"""
HANGS = """#!/bin/sh
mkdir "$TMPDIR/jsii-kernel"
sleep 300 &
echo "$$ $!" > "$SEEN.new"
mv "$SEEN.new" "$SEEN"
wait
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which nothing has an app, and a temporary folder of the test's own."""
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    for name in ("temporary", "here", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("MANIFEST", str(tmp_path / "manifest.json"))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.delenv("CDK_APP", raising=False)
    return tmp_path / "seen"


def cdk(seen: Path, script: str) -> None:
    program = seen.parent / "bin" / "cdk"
    program.write_text(script)
    program.chmod(0o755)


def left(seen: Path) -> list[Path]:
    return [*(seen.parent / "temporary").iterdir()]


def test_the_stack_is_read_and_no_file_stays(seen: Path) -> None:
    cdk(seen, SYNTHESIZES)
    stack = synthesize(app="python app.py", context=["disk_gib=100"])
    assert (stack.name, stack.template) == ("Mine", {})
    words = seen.read_text().split("\n")
    assert words[:7] == [
        *("synth", "--quiet", "--no-color", "--context", "disk_gib=100"),
        *("--app", "python app.py"),
    ]
    assert left(seen) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_cli_with_all_its_children(seen: Path, number: signal.Signals) -> None:
    cdk(seen, HANGS)

    def interrupt() -> None:
        while not seen.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    with pytest.raises(Interrupted) as ended:
        synthesize()
    assert ended.value.status == 128 + number
    assert left(seen) == []
    for pid in map(int, seen.read_text().split()):
        deadline = time.monotonic() + 300
        while _lives(pid):
            assert time.monotonic() < deadline, pid
            time.sleep(0.01)


def _lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_failure_is_told_in_the_clis_words(seen: Path) -> None:
    cdk(seen, "#!/bin/sh\necho 'disk_gib=8: too small' >&2; exit 1")
    with pytest.raises(
        AssemblyError, match=r"^disk_gib=8: too small\ncdk synth failed; fix the errors"
    ):
        synthesize()
    assert left(seen) == []


@pytest.mark.parametrize("how", ["--app", "CDK_APP", "cdk.json"])
def test_a_ready_assembly_takes_no_context(
    seen: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    cdk(seen, "#!/bin/sh\nexit 0")
    ready = seen.parent / "ready"
    ready.mkdir()
    (ready / "manifest.json").write_text(json.dumps(MANIFEST))
    (ready / "t.json").write_text("{}")
    if how == "CDK_APP":
        monkeypatch.setenv("CDK_APP", str(ready))
    if how == "cdk.json":
        Path("cdk.json").write_text(json.dumps({"app": str(ready)}))
    app = str(ready) if how == "--app" else ""
    with pytest.raises(AssemblyError) as refused:
        synthesize(app=app, context=["generation=2", "disk_gib=100"])
    assert str(refused.value) == (
        f"--context generation=2: the app {ready} is a cloud assembly, synthesized with its own "
        "settings, and the CDK CLI would ignore this one; synthesize it again with this setting, "
        "or pass a command as --app"
    )
    assert not seen.exists(), "the CLI did not run"
    assert synthesize(app=app).name == "Mine"


@pytest.mark.parametrize("text", ["", "not JSON", "[]"])
def test_a_faulty_cdk_json_is_for_the_cli_to_name(seen: Path, text: str) -> None:
    cdk(seen, SYNTHESIZES)
    Path("cdk.json").write_text(text)
    assert synthesize(context=["generation=2"]).name == "Mine"


def test_a_folder_without_an_assembly_is_named(seen: Path) -> None:
    with pytest.raises(AssemblyError, match=r"/here is not a cloud assembly: .*manifest\.json"):
        read_assembly(Path.cwd())
