"""One cgroup for each machine, removed with it or by the next start."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

PREFIX = "localaws"


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
        RuntimeError: There is no cgroup2 file system.
    """
    mount = mount_point()
    if mount is None:
        raise RuntimeError("there is no cgroup2 file system that can be written")
    folder = mount / f"{PREFIX}-{os.getpid()}-{name}"
    remove(folder)
    folder.mkdir()
    return folder


def remove(folder: Path) -> None:
    """Remove a cgroup with all below it; its processes are dead or dying."""
    deadline = time.monotonic() + 5
    while folder.exists():
        for child, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                Path(child).rmdir()
        if folder.exists() and time.monotonic() > deadline:
            return
        time.sleep(0.01)


def sweep() -> None:
    """Remove the cgroups of owners that have ended."""
    mount = mount_point()
    for folder in mount.glob(f"{PREFIX}-*") if mount else ():
        owner = folder.name.split("-")[1]
        if not Path("/proc", owner).exists():
            remove(folder)
