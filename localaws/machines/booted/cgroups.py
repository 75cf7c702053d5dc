"""One cgroup for each machine, removed with it or by the next start."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

PREFIX = "localaws"
PATIENCE = 60.0
"""Seconds for dying processes to end: one that writes to a busy disk cannot be killed before."""


def mount_point() -> Path | None:
    """Where cgroup2 is mounted and can be written."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, path, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(path, os.W_OK):
            return Path(path)
    return None


def create(name: str) -> Path:
    """Create a cgroup whose name has the owner's process id.

    Raises:
        OSError: There is no cgroup2 file system, or processes of the one before do not end.
    """
    mount = mount_point()
    if mount is None:
        raise OSError("there is no cgroup2 file system that can be written")
    folder = mount / f"{PREFIX}-{os.getpid()}-{name}"
    if not remove(folder):
        raise OSError(f"{folder} has processes that do not end: {_processes(folder)}")
    folder.mkdir()
    return folder


def remove(folder: Path) -> bool:
    """Remove a cgroup with all below it, and return whether it is gone.

    Its processes are dead or dying; those that are not yet are killed.
    """
    deadline = time.monotonic() + PATIENCE
    while folder.exists():
        with contextlib.suppress(OSError):
            (folder / "cgroup.kill").write_text("1")
        for child, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(child).rmdir()
        if folder.exists() and time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _processes(folder: Path) -> str:
    """The process ids in a cgroup and all below it."""
    found: list[str] = []
    for file in folder.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            found += file.read_text().split()
    return ", ".join(found)


def sweep() -> None:
    """Remove the cgroups of owners that have ended."""
    mount = mount_point()
    for folder in mount.glob(f"{PREFIX}-*") if mount else ():
        owner = folder.name.split("-")[1]
        if not Path("/proc", owner).exists():
            remove(folder)
