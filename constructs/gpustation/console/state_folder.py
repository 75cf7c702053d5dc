"""The folder of the command for a person's own files: logs of deploys, keys, known hosts."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder(*parts: str) -> Path:
    """A folder below ``$XDG_STATE_HOME/gpustation``, which only its owner can read; it is created.

    Args:
        *parts: Names of folders below it.
    """
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(home, "gpustation", *parts)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
