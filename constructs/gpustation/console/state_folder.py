"""The command's own files in the person's folder for state, which nobody else may read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Folder of the command's files: ``$XDG_STATE_HOME/gpustation``, mode 0700; made if missing.

    Default: ``~/.local/state/gpustation``.
    """
    base = environment.get("XDG_STATE_HOME", "")
    # The specification ignores relative paths
    state = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    folder = state / "gpustation"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def replace_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file atomically, with a mode."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
