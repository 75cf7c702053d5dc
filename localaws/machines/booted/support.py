"""Whether machines can boot here, and if not, why not."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from localaws.machines.booted import cgroups

COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "slirp4netns": "slirp4netns",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "dpkg-deb": "dpkg",
}
"""What a boot needs on the host, with the Debian package that brings it."""
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (
    Path("/etc/apt/sources.list.d/debian.sources"),
    Path("/etc/apt/sources.list"),
)


@functools.cache
def why_not() -> str | None:
    """The first reason why no machine can boot here; None if machines can."""
    if sys.platform != "linux":
        return "machines boot on Linux only"
    if os.geteuid() != 0:
        return "machines boot for root only"
    missing = sorted({package for name, package in COMMANDS.items() if not shutil.which(name)})
    if missing:
        return f"machines need Debian's packages {', '.join(missing)}"
    if debian_sources() is None and not DEBIAN_KEYRING.exists():
        return "machines are built from Debian 12, which needs the package debian-archive-keyring"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "machines need /dev/net/tun for their network"
    if cgroups.mount_point() is None:
        return "machines need a cgroup2 file system that can be written"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--net", "--cgroup", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        return f"namespaces are not allowed here: {tried.stderr.strip()}"
    return None


def debian_sources() -> Path | None:
    """The apt sources of the host, if they are Debian's."""
    for path in SOURCES:
        if path.exists() and "bookworm" in path.read_text():
            return path
    return None


def disk_folder(wanted: Path) -> Path:
    """A folder for disks: the upper directory of an overlay must not be on an overlay."""
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", str(wanted)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return Path("/dev/shm") if kind == "overlayfs" else wanted
