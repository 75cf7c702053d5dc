"""Packs the machine's scripts into one file whose bytes are the same everywhere."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = ("bootstrap", "__pycache__")


@dataclass(frozen=True)
class ScriptsArchive:
    """An uncompressed tar of a folder.

    Neither times, owners nor the order of the disk get into it, and it is not compressed (the
    output of zlib differs between builds), so equal files give equal bytes on every machine.

    Attributes:
        content: The bytes of the tar.
    """

    content: bytes

    @property
    def sha256(self) -> str:
        """Hash in hex, which the machine checks before it runs anything."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def of(cls, folder: Path) -> ScriptsArchive:
        """Packs the folder, without ``bootstrap/``: that part travels in the user data.

        Raises:
            ValueError: The folder has no ``run.sh``, the entry point on the machine.
        """
        if not (folder / "run.sh").is_file():
            raise ValueError(f"scripts must be a folder with a run.sh in it, got {folder}")
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in _files(folder):
                member = tarfile.TarInfo(path.relative_to(folder).as_posix())
                content = path.read_bytes()
                member.size, member.mode = len(content), 0o644
                tar.addfile(member, io.BytesIO(content))
        return cls(buffer.getvalue())


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if path.is_file() and not hidden and not any(part in _LEFT_OUT for part in parts):
            yield path
