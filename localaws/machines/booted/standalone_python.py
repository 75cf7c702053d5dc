"""A Python 3.11 in the shape in which uv downloads one, for machines whose own is newer.

uv takes its Pythons from two hosts that are not reached from everywhere. So Debian 12's is packed
like one of those archives, and a list of downloads of our own names it with its hash: uv fetches,
checks and unpacks it as it does the real one. What it lacks is the libraries that python-build-
standalone links in: here the machine has them.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

FOLDER = Path("opt/localaws/python")
"""Where archive and list are in a machine's root."""
ARCHIVE = "cpython-3.11.tar.gz"
LIST_VARIABLE = "UV_PYTHON_DOWNLOADS_JSON_URL"
LIST = FOLDER / "downloads.json"
KEY = "cpython-3.11.18-linux-x86_64-gnu"
"""The name that userdata/phases/30-build-environment uses; the content is Debian's Python."""
PACKAGES = ("python3.11", "python3-distutils", "python3.11-venv")
OF_DEBIAN = ("sitecustomize.py", "EXTERNALLY-MANAGED")
"""Files of the standard library that speak of Debian's own paths."""


def place(root: Path, extracted: Path) -> None:
    """Put archive and list into a root.

    Args:
        root: A machine's root, as a folder.
        extracted: A folder with what is in `PACKAGES`; it is used up.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True)
    archive = folder / ARCHIVE
    _pack(extracted, archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (root / LIST).write_text(downloads(f"file:///{FOLDER / ARCHIVE}", digest))


def variables(root: Path) -> dict[str, str]:
    """What points uv at the list of a machine's root, if there is one."""
    return {LIST_VARIABLE: f"/{LIST}"} if (root / LIST).exists() else {}


def downloads(url: str, sha256: str) -> str:
    """A list with this one download, in the form of uv's download-metadata.json."""
    python = {
        "name": "cpython",
        "arch": {"family": "x86_64", "variant": None},
        "os": "linux",
        "libc": "gnu",
        **{"major": 3, "minor": 11, "patch": 18, "prerelease": "", "variant": None},
        **{"build": "20261101", "url": url, "sha256": sha256},
    }
    return json.dumps({KEY: python})


def _pack(extracted: Path, archive: Path) -> None:
    python = extracted / "python"
    for part in ("bin", "lib"):
        (python / part).mkdir(parents=True)
    library = python / "lib/python3.11"
    (extracted / "usr/lib/python3.11").rename(library)
    (extracted / "usr/bin/python3.11").rename(python / "bin/python3.11")
    (python / "bin/python3").symlink_to("python3.11")
    for name in OF_DEBIAN:
        (library / name).unlink(missing_ok=True)
    subprocess.run(["tar", "-C", extracted, "-czf", archive, "python"], check=True)
