"""Asks ``gpustation plan`` against the embedded AWS."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from gpustation.plan.change_set import NAME_PREFIX
from localaws import LocalAws
from tests.support.synthesis import ROOT, make_app


@dataclasses.dataclass(frozen=True)
class Question:
    """Asks about settings, as a person with credentials does."""

    aws: LocalAws
    folder: Path

    def command(self, **settings: Any) -> list[str]:
        assembly = self.folder / f"question-{time.monotonic_ns()}"
        make_app(outdir=str(assembly), **settings).synth()
        return [sys.executable, "-m", "gpustation", "plan", "--app", str(assembly)]

    def environment(self) -> dict[str, str]:
        path = [str(Path(sys.executable).parent), str(ROOT / "node_modules" / ".bin")]
        found = self.aws.environment | {"CDK_VALIDATION": "false"}
        return found | {"PATH": os.pathsep.join([*path, found["PATH"]])}

    def ask(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command(**settings), *words],
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        print(done.stdout, done.stderr, done.returncode)
        return done


def assert_nothing_left(aws: LocalAws, *, stacks: list[str]) -> None:
    cloudformation = aws.client("cloudformation")
    names = [row["StackName"] for row in cloudformation.describe_stacks()["Stacks"]]
    assert sorted(names) == sorted(["CDKToolkit", *stacks])
    for name in stacks:
        for row in cloudformation.list_change_sets(StackName=name)["Summaries"]:
            assert not row["ChangeSetName"].startswith(NAME_PREFIX)
