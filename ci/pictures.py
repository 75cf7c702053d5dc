"""Draws the pictures of the documentation: real runs of the command on the embedded AWS.

``make pictures`` writes them to docs/pictures/. What they show of AWS (ids, addresses, prices) is
made up by the embedded AWS or comes from the catalog, and the title of each says so.
"""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from localaws import LocalAws
from localaws.account.ec2.visitors import VISITOR
from localaws.machines.booted.support import why_not

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 110
SECONDS = 300
VERBS = {
    "up": ("up", "-c", "disk_gib=100"),
    "status": ("status",),
    "regions": ("regions", "g4dn.xlarge"),
    "price": ("price",),
}
"""Words of each picture's command, in the order in which they run."""

# rich's own form loads a font from a network; this one uses the reader's
FORM = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 16px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def main() -> None:
    """Run the commands and write a picture of each."""
    PICTURES.mkdir(exist_ok=True)
    with LocalAws() as aws, tempfile.TemporaryDirectory() as state:
        environment = prepared(aws, state)
        for name, words in VERBS.items():
            # On a dumb terminal rich draws what changes once, at its end, 80 columns wide
            terminal = {"TERM": "dumb"} if name == "up" else {}
            shown = in_terminal(["gpustation", *words], environment | terminal)
            (PICTURES / f"{name}.svg").write_text(picture(words, shown), encoding="utf-8")
        in_terminal(["gpustation", "down"], environment)

    if reason := why_not():
        print(f"bench.svg stays as it is, as no machine can boot here: {reason}", file=sys.stderr)
        return
    with LocalAws(booted=True) as aws, tempfile.TemporaryDirectory() as state:
        compare(prepared(aws, state), Path(state))


def prepared(aws: LocalAws, state: str) -> dict[str, str]:
    """Variables of a person whose account is ready for a deploy."""
    aws.control.set_quota("L-DB2E81BA", 8)
    path = f"{ROOT / 'node_modules/.bin'}{os.pathsep}{Path(sys.executable).parent}"
    environment = aws.environment | {
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
        "XDG_STATE_HOME": state,
    }
    subprocess.run(["cdk", "bootstrap"], cwd=ROOT, env=environment, check=True)
    return environment


def compare(environment: dict[str, str], folder: Path) -> None:
    """The picture of two frameworks on a machine without a GPU, which boots and is measured."""
    records = []
    for number, framework in enumerate(("mxnet", "pytorch"), 1):
        settings = {"framework": framework, "generation": str(number), "notebooks": "false"}
        options = [word for row in settings.items() for word in ("-c", "=".join(row))]
        in_terminal(["gpustation", "up", *options], environment | {"TERM": "dumb"})
        in_terminal(["gpustation", "allow-my-ip", "--address", VISITOR], environment)
        records.append(f"{framework}.json")
        words = ("gpustation", "bench", "--quick", "--output", str(folder / records[-1]))
        in_terminal([*words], environment)
    shown = in_terminal(["gpustation", "bench", "compare", *records], environment, folder)
    drawn = picture(("bench", "compare", *records), shown)
    (PICTURES / "bench.svg").write_text(drawn, encoding="utf-8")
    in_terminal(["gpustation", "down"], environment)


def in_terminal(words: list[str], environment: dict[str, str], folder: Path = ROOT) -> str:
    """What a command prints on a terminal; each of its questions is answered by yes."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as command:
        os.close(theirs)
        try:
            shown = _read(ours, time.monotonic() + SECONDS)
        except BaseException:
            command.kill()
            raise
    os.close(ours)
    if command.returncode not in (0, 1):  # 1: a finding
        raise RuntimeError(f"{words}: exit status {command.returncode}\n{shown}")
    return shown


def _read(terminal: int, deadline: float) -> str:
    shown = b""
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            new = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        if not new:
            break
        shown += new
        if b"[y/N]" in new:
            os.write(terminal, b"y\n")
    else:
        raise TimeoutError(f"it did not end within {SECONDS} s: {shown!r}")
    return shown.decode(errors="replace").replace("\r\n", "\n")


def picture(words: tuple[str, ...], shown: str) -> str:
    """The output of a command as SVG."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False
    )
    console.print(Text(f"$ gpustation {' '.join(words)}", style="bold"))
    console.print(Text.from_ansi(shown.rstrip("\n")))
    return console.export_svg(
        title="gpustation on the embedded AWS (localaws)", code_format=FORM, unique_id="picture"
    )


if __name__ == "__main__":
    main()
