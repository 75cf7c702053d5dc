"""Packs folders into reproducible archives, with the same bytes on every machine.

They contain no times and owners, their order is sorted, and they are not compressed, because the
output of zlib differs between its builds. Windows line endings, which git for Windows writes, are
converted, as bash does not accept them. Temporary files of editors, Jupyter and Python are
excluded, as they would change the version of the image and of the scripts.
"""

from __future__ import annotations

import fnmatch
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Collection
from pathlib import Path

_EXCLUDED = (
    "bootstrap",  # of userdata/, is in the user data
    ".*",  # .DS_Store, .ipynb_checkpoints, .#lock of Emacs, .name.swp of Vim
    *("*~", "#*#", "*.sw[a-p]", "*.orig", "*.rej", "*.bak", "*.tmp"),
    *("__pycache__", "*.py[co]", "Untitled*.ipynb", "Thumbs.db", "desktop.ini"),
)
"""Patterns for names of files and folders that no archive contains."""
_is_excluded = re.compile("|".join(map(fnmatch.translate, _EXCLUDED))).match
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


def package_zip(package: Path, subpackages: Collection[str] | None = None) -> bytes:
    """Zip for Lambda with a Python package at its root.

    Args:
        package: Folder of the package.
        subpackages: Names of the subpackages to include, in addition to ``__init__.py``. Default:
            all.
    """
    included = None if subpackages is None else {"__init__.py", *subpackages}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in _files(package, included):
            member = zipfile.ZipInfo(f"{package.name}/{name}", _FIRST_DAY)
            member.external_attr, member.create_system = 0o644 << 16, 3  # 3: made on Unix
            archive.writestr(member, _content(path))
    return buffer.getvalue()


def _files(folder: Path, top: Collection[str] | None = None) -> list[tuple[str, Path]]:
    """Names in the archive and paths of the files to include, sorted by name.

    Folders that are left out are not read: every synth packs three archives.

    Args:
        folder: The folder to pack.
        top: Names of files and folders in ``folder`` itself to include. Default: all.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        at_top = top is not None and parent == str(folder)
        for names in (folders, files):
            names[:] = [
                name
                for name in names
                if not _is_excluded(name) and (not at_top or name in (top or ()))
            ]
        found += [path for name in files if (path := Path(parent, name)).is_file()]
    return sorted((path.relative_to(folder).as_posix(), path) for path in found)


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    # Like git, treat a file with a NUL byte as binary
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")
