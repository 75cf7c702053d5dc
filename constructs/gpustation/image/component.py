"""The Image Builder component that builds and tests an image with the scripts of ``userdata/``.

Image Builder expects YAML; JSON is a subset of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FOLDER = "/var/tmp/gpustation"
"""Folder of the scripts during the build; unlike ``/tmp`` it survives a reboot."""

ARCHIVE = f"{FOLDER}.tar"

_MINUTE = 60


def component_document(*, source: str, sha256: str, options: Sequence[str]) -> dict[str, Any]:
    """The component document with the phases build, validate and test.

    Args:
        source: S3 URL of the scripts' archive, ``s3://bucket/key``.
        sha256: SHA-256 of the archive, in hex.
        options: Command line options of ``install.sh``.
    """
    words = " ".join(options)
    scripts = [_download(source), _bash("Unpack", _unpack(sha256), 2)]
    return {
        "name": "gpustation",
        "description": "A GPU workstation: driver, framework with its CUDA libraries, Jupyter",
        "schemaVersion": 1.0,
        "phases": [
            {
                "name": "build",
                "steps": [
                    *scripts,
                    _bash("Install", f"bash {FOLDER}/image.sh install {words}", 90),
                    _bash("Clean", f"bash {FOLDER}/image.sh clean", 10),
                ],
            },
            {
                "name": "validate",
                "steps": [
                    _bash("Check", f"bash {FOLDER}/image.sh check", 10),
                    _bash("RemoveScripts", f"rm -rf {FOLDER} {ARCHIVE}", 2),
                ],
            },
            {
                "name": "test",
                "steps": [
                    *scripts,
                    _bash("Verify", f"bash {FOLDER}/install.sh {words}", 40),
                    _bash("CheckReuse", f"bash {FOLDER}/image.sh check-reuse", 2),
                ],
            },
        ],
    }


def _download(source: str) -> dict[str, Any]:
    return {
        "name": "Download",
        "action": "S3Download",
        "timeoutSeconds": 5 * _MINUTE,
        "onFailure": "Abort",
        "maxAttempts": 3,
        "inputs": [{"source": source, "destination": ARCHIVE, "overwrite": True}],
    }


def _unpack(sha256: str) -> str:
    return "\n".join(
        [
            "set -euo pipefail",
            f"echo '{sha256}  {ARCHIVE}' | sha256sum --check --quiet",
            f"rm -rf {FOLDER}",
            f"mkdir {FOLDER}",
            f"tar --extract --no-same-owner --file={ARCHIVE} --directory={FOLDER}",
        ]
    )


def _bash(name: str, command: str, minutes: int) -> dict[str, Any]:
    return {
        "name": name,
        "action": "ExecuteBash",
        "timeoutSeconds": minutes * _MINUTE,
        "onFailure": "Abort",
        "maxAttempts": 1,
        "inputs": {"commands": [command]},
    }
