"""A person's own AWS, CDK and proxy have no part in the demo and the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localaws import demo

ASKS = """
import sys, urllib.request
if "isolated" in sys.argv:
    from localaws.isolation import isolate
    isolate()
import boto3
assert urllib.request.proxy_bypass("localhost"), "localhost is asked through the proxy"
assert urllib.request.proxy_bypass("intranet.example"), "what is set already no longer counts"
boto3.session.Session().client("s3", region_name="us-east-1", endpoint_url="http://localhost:1")
"""


def ask(root: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws/config").write_text("this is no configuration")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_PROFILE": "work",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "HTTP_PROXY": "http://proxy.example:3128",
        "NO_PROXY": "intranet.example",
    }
    command = [sys.executable, "-c", ASKS, *words]
    return subprocess.run(
        command, cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_a_persons_profile_and_proxy_do_not_count(root: Path, tmp_path: Path) -> None:
    assert ask(root, tmp_path).returncode != 0, "these settings do no harm"
    done = ask(root, tmp_path, "isolated")
    assert done.returncode == 0, done.stderr


def test_the_demo_reads_no_cdk_json_of_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may name a profile, an app or context of another project."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own/.cdk.json").write_text('{"profile": "work"}')
    cdk = tmp_path / "cdk"
    cdk.write_text('#!/bin/sh\n! test -e "$HOME/.cdk.json"\n')
    cdk.chmod(0o755)
    monkeypatch.setattr(demo, "CDK", cdk)
    aws: Any = SimpleNamespace(environment=os.environ | {"HOME": str(tmp_path / "own")})
    (tmp_path / "folder").mkdir()
    demo._run(demo.Step("synth", ("synth",)), aws, tmp_path / "folder", booted=False)
