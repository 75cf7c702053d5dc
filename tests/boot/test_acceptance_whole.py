"""``make acceptance ARGS=--local``, whole: from the stock image to the last deletion.

It takes half an hour, and shows what no part by itself does: that all parts go on one after the
other on machines that boot, with a bake and both frameworks, within the limit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.synthesis import ROOT

SECONDS = 3600


@pytest.mark.timeout(SECONDS + 300)
def test_every_part_is_shown_on_machines_that_boot(tmp_path: Path) -> None:
    """Nothing of a run that is not on AWS gets into docs/proven."""
    proven = sorted((ROOT / "docs").rglob("*"))
    folders = {name: tmp_path / name for name in ("evidence", "logs")}
    words = [f"--{name}={folder}" for name, folder in folders.items()]
    with (
        (tmp_path / "output").open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "acceptance", "--local", "--yes", *words],
            cwd=ROOT,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as program,
    ):
        try:
            status = program.wait(SECONDS)
        finally:
            program.terminate()  # it ends its machines
    text = (tmp_path / "output").read_text()
    assert status == 0, text
    (path,) = folders["evidence"].glob("20*.json")
    evidence = json.loads(path.read_text())
    assert (evidence["where"], evidence["machine"]) == ("embedded", "booted")
    verdicts = {row["part"]: row["verdict"] for row in evidence["parts"]}
    assert {name for name, verdict in verdicts.items() if verdict != "shown"} == set(), text
    assert sorted((ROOT / "docs").rglob("*")) == proven
