"""A folder of the CDK app with a cdk.json of its own, in which a person runs ``gpustation``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from localaws import LocalAws
from tests.support.cdk_cli import COMMAND_SECONDS, SHORT_WAITS
from tests.support.synthesis import ROOT

OWN = ("image", "generation", "availability_zone", "spot", "disk_gib")
"""Settings that a move may write."""


class AppFolder:
    """The folder, with the project's cdk.json and these settings.

    Args:
        aws: The account in which the person works.
        folder: An empty folder.
        **settings: Context of its cdk.json, on top of the project's.
    """

    def __init__(self, aws: LocalAws, folder: Path, **settings: Any) -> None:
        self.path = folder / "app"
        self.path.mkdir()
        document = json.loads((ROOT / "cdk.json").read_text())
        document["app"] = f"{sys.executable} {ROOT / 'app.py'}"
        document["context"] = settings | document["context"]
        self.cdk_json = self.path / "cdk.json"
        self.cdk_json.write_text(json.dumps(document, indent=2) + "\n")
        self.before = self.cdk_json.read_text()
        path = f"{ROOT / 'node_modules/.bin'}{os.pathsep}{Path(sys.executable).parent}"
        self.environment = aws.environment | {
            "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
            # This tree's gpustation, also where the installed one is another tree's
            "PYTHONPATH": f"{ROOT / 'constructs'}{os.pathsep}{ROOT}",
            "CDK_VALIDATION": "false",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NODE_OPTIONS": f'--require="{SHORT_WAITS}"',
            "XDG_STATE_HOME": str(folder / "state"),
            "HOME": str(folder),
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in its cdk.json that a move may write."""
        context = json.loads(self.cdk_json.read_text())["context"]
        return {name: context[name] for name in OWN if name in context}

    def begins(self, *words: str) -> subprocess.Popen[str]:
        """Start a Python program or module there, in a session of its own."""
        return subprocess.Popen(
            [sys.executable, *words],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def runs(self, *words: str) -> tuple[int, str, str]:
        """Exit status and output of ``gpustation``."""
        with self.begins("-m", "gpustation", *words) as command:
            out, err = command.communicate(timeout=COMMAND_SECONDS)
        print(f"$ gpustation {' '.join(words)}\n{out}{err}exit status {command.returncode}")
        return command.returncode, out, err
