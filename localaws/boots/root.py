"""The read-only root below every machine's disk: Debian 12 from its packages, built once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localaws.boots import packages
from localaws.boots.support import debian_sources

SUITE = "bookworm"
PACKAGES = (
    # What makes it a machine that cloud-init sets up
    *("apt", "debian-archive-keyring", "lsb-release", "procps", "systemd-sysv", "dbus", "udev"),
    *("cloud-init", "isc-dhcp-client", "iproute2", "kmod", "sudo", "openssh-server"),
    # What Ubuntu's cloud image brings as well
    *("ca-certificates", "curl", "git", "python3-venv"),
)
OPTIONS = (
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)


class RootError(RuntimeError):
    """The root could not be built; the text ends with the last lines of the log."""


def cache_folder() -> Path:
    """Where roots are kept: XDG_CACHE_HOME/gpustation. Default: ~/.cache/gpustation."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpustation"


def debian_root() -> Path:
    """The root, from the cache or built now (about 40 s); only one process builds it.

    Raises:
        RootError: mmdebstrap failed.
    """
    sources = debian_sources()
    if sources is None:
        raise RootError("no apt source of this computer names Debian 12 (bookworm)")
    parts = [SUITE, *PACKAGES, *OPTIONS, sources.read_text(), platform.release()]
    parts.append(Path(packages.__file__).read_text())
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    target = cache_folder() / f"debian-12-{digest}"
    with _locked(cache_folder()):
        if not target.exists():
            _build(sources, target)
    return target


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(sources: Path, target: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        root = draft / "root"
        command = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"]
        command += [f"--include={','.join(PACKAGES)}", *OPTIONS, SUITE, str(root), str(sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n  ".join((done.stdout + done.stderr).splitlines()[-15:])
            raise RootError(f"mmdebstrap exited {done.returncode}; its last words:\n  {tail}")
        packages.add_repositories(root)
        root.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
