"""Runs the CDK CLI against an embedded AWS, for the benchmarks that boot machines."""

from __future__ import annotations

import subprocess
from pathlib import Path

from localaws import LocalAws

ROOT = Path(__file__).resolve().parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
G_QUOTA = "L-DB2E81BA"
DEPLOY = ("deploy", "--require-approval", "never")


def bootstrap(aws: LocalAws, folder: str) -> None:
    """Bootstrap an account whose quota allows two machines of the default type."""
    aws.control.set_quota(G_QUOTA, 8)
    cdk(aws, folder, "bootstrap", f"aws://{aws.account}/{aws.region}")


def cdk(aws: LocalAws, folder: str, *words: str, succeeds: bool = True) -> None:
    """Run one command of the CDK CLI.

    Args:
        aws: The embedded AWS.
        folder: Folder of the cloud assembly.
        words: Arguments of `cdk`.
        succeeds: Whether the command must succeed; otherwise it must fail. Default: true.

    Raises:
        RuntimeError: The command ended the other way.
    """
    done = subprocess.run(
        [CDK, *words, "--output", folder],
        cwd=ROOT,
        env=aws.environment | {"CDK_VALIDATION": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if (done.returncode == 0) != succeeds:
        raise RuntimeError(f"cdk {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
