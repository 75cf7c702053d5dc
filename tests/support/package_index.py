"""Where Python packages come from on this computer: no file of the project names a registry."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys


@functools.cache
def index_url() -> str:
    """The index that pip asks, of its configuration or its own default; no slash at the end.

    pip's help shows the value in force, with stars for a password, so that such an index cannot be
    asked by the tests.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--help"],
        env=os.environ | {"COLUMNS": "999"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"--index-url <url> .*\(default (http[^)]+)\)", done.stdout)
    assert found is not None, "pip's help does not name the index"
    return found[1].rstrip("/")
