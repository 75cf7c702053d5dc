"""Packs folders into archives whose bytes are the same on every machine.

Neither times, owners nor the order of the disk get into them, and nothing is compressed: the
output of zlib differs between its builds. Windows line ends become Linux ones: bash does not read
the others, and git for Windows writes them. What editors, Jupyter and Python leave beside the files
is left out: it must not make another image or another version of the scripts.
"""

from __future__ import annotations

import fnmatch
import io
import tarfile
import zipfile
from collections.abc import Container, Iterator
from pathlib import Path

_LEFT_OUT = (
    "bootstrap",  # of userdata/, travels in the user data
    ".*",  # .DS_Store, .ipynb_checkpoints, .#lock of Emacs, .name.swp of Vim
    *("*~", "#*#", "*.sw[a-p]", "*.orig", "*.rej", "*.bak", "*.tmp"),
    *("__pycache__", "*.py[co]", "Untitled*.ipynb", "Thumbs.db", "desktop.ini"),
)
"""Patterns of names, of files and folders, that belong into no archive."""
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)


def scripts_tar(folder: Path) -> bytes:
    """The machine's scripts, without ``bootstrap/``: that part travels in the user data.

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
    """A Python package as Lambda wants it: the package's folder at the root of a zip.

    Args:
        package: Its folder.
        subpackages: Names of the packages in it that go along, beside its ``__init__.py``.
            Default: all that it holds.
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
    """Files that belong into an archive, with their names in it, in the order of the names."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        if path.is_file() and not any(map(_is_left_out, path.relative_to(folder).parts)):
            yield path.relative_to(folder).as_posix(), path


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    # A file with a NUL is not text, as git has it
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def _is_left_out(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _LEFT_OUT)
