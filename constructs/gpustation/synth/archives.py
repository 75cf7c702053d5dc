"""Packs folders into reproducible archives, with the same bytes on every machine.

They contain no times and owners, their order is sorted, and they are not compressed, because the
output of zlib differs between its builds. Windows line endings, which git for Windows writes, are
converted, as bash does not accept them. Temporary files of editors, Jupyter and Python are
excluded, as they would change the version of the image and of the scripts.
"""

from __future__ import annotations

import fnmatch
import io
import tarfile
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path

_EXCLUDED = (
    "bootstrap",  # of userdata/, is in the user data
    ".*",  # .DS_Store, .ipynb_checkpoints, .#lock of Emacs, .name.swp of Vim
    *("*~", "#*#", "*.sw[a-p]", "*.orig", "*.rej", "*.bak", "*.tmp"),
    *("__pycache__", "*.py[co]", "Untitled*.ipynb", "Thumbs.db", "desktop.ini"),
)
"""Patterns for names of files and folders that no archive contains."""
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def scripts_tar(folder: Path) -> bytes:
    """Archive of the machine's scripts, without ``bootstrap/``, which is in the user data.

    Raises:
        ValueError: The folder has no ``run.sh``, the entry point on the machine.
    """
    if not (folder / "run.sh").is_file():
        raise ValueError(f"scripts must be a folder with a run.sh in it, got {folder}")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in _files(folder):
            content = _content(path)
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def package_zip(package: Path, subpackages: Container[str] | None = None) -> bytes:
    """Zip for Lambda with a Python package at its root.

    Args:
        package: Folder of the package.
        subpackages: Names of the subpackages to include, in addition to ``__init__.py``. Default:
            all.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in _files(package):
            if subpackages is None or name == "__init__.py" or name.split("/")[0] in subpackages:
                member = zipfile.ZipInfo(f"{package.name}/{name}", _FIRST_DAY)
                member.external_attr, member.create_system = 0o644 << 16, 3  # 3: made on Unix
                archive.writestr(member, _content(path))
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names in the archive and paths of the files to include, sorted by name."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        if path.is_file() and not any(map(_is_excluded, path.relative_to(folder).parts)):
            yield path.relative_to(folder).as_posix(), path


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    # Like git, treat a file with a NUL byte as binary
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def _is_excluded(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _EXCLUDED)
