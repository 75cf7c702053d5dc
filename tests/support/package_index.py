"""The package index of this computer: no file of the project names a registry."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys


@functools.cache
def index_url() -> str:
    """pip's index URL, from its configuration or its default, without a slash at the end.

    pip's help shows the value in force. It hides a password behind stars, so the tests cannot use
    an index that needs one.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--help"],
        env=os.environ | {"COLUMNS": "999"},
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"--index-url <url> .*\(default (http[^)]+)\)", done.stdout)
    assert match is not None, "pip's help does not name the index"
    return match[1].rstrip("/")
