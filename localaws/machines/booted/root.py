"""The read-only root below every machine's disk, built once from a distribution's packages."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from localaws.machines.booted import packages, standalone_python
from localaws.machines.booted.support import DEBIAN_KEYRING, debian_sources

ROOT_VARIABLE = "LOCALAWS_ROOT"
PACKAGES = (
    # What makes it a machine that cloud-init sets up
    *("apt", "lsb-release", "procps", "systemd-sysv", "dbus", "udev"),
    *("cloud-init", "isc-dhcp-client", "iproute2", "kmod", "sudo", "openssh-server"),
    # What Ubuntu's cloud image brings as well
    *("btrfs-progs", "ca-certificates", "curl", "e2fsprogs", "git", "nftables"),
    *("python3-venv", "tmux"),
    # What a person may choose as login shell
    *("fish", "zsh"),
)
DEBIAN_SUITES = ("bookworm", "trixie")
UBUNTU_KEYRING = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")


@dataclass(frozen=True)
class Distribution:
    """What a root is made of.

    Attributes:
        suite: Name of the release in its archive.
        packages: Packages beside `PACKAGES`.
        components: Parts of its archive, where the sources are mmdebstrap's. Default: main.
        standalone_python: Its own Python is too new for a framework: uv's list of downloads has
            one from Debian 12. Default: false.
    """

    suite: str
    packages: tuple[str, ...]
    components: str = "main"
    standalone_python: bool = False

    def sources(self) -> str:
        """The lines of apt's sources, for mmdebstrap and in the root.

        Default: empty, mmdebstrap knows the archive of each suite. On Debian they are those of the
        computer, which may name a mirror of its own.

        Raises:
            RootError: The archive's keys are not here.
        """
        debian = self.suite in DEBIAN_SUITES
        sources = debian_sources() if debian else None
        if sources is not None:
            return re.sub("|".join(DEBIAN_SUITES), self.suite, sources.read_text())
        if not (DEBIAN_KEYRING if debian else UBUNTU_KEYRING).exists():
            package = "debian-archive-keyring" if debian else "ubuntu-keyring"
            raise RootError(f"a root of {self.suite} needs the package {package}")
        return ""


DISTRIBUTIONS = {
    "debian-13": Distribution(
        "trixie", ("debian-archive-keyring", "make", "needrestart"), standalone_python=True
    ),
    "debian-12": Distribution("bookworm", ("debian-archive-keyring",)),
    "ubuntu-22.04": Distribution("jammy", ("ubuntu-keyring",), "main,universe"),
}
"""Machines boot the first by default: it stands for Ubuntu 24.04, and has needrestart like that.
The second stands for 22.04. Ubuntu's archive cannot be reached from everywhere."""
STAND_INS = ("debian-13", "debian-12")
"""Distributions that are tested and measured here in place of Ubuntu 24.04 and 22.04."""
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


def machine_root(name: str | None = None) -> Path:
    """A root, from the cache or built now (about 40 s); only one process builds it.

    Args:
        name: One of `DISTRIBUTIONS`. Default: what LOCALAWS_ROOT names, else Debian 13.

    Raises:
        RootError: There is no such distribution, or mmdebstrap failed.
    """
    name = name or os.environ.get(ROOT_VARIABLE) or next(iter(DISTRIBUTIONS))
    if name not in DISTRIBUTIONS:
        known = ", ".join(DISTRIBUTIONS)
        raise RootError(f"{ROOT_VARIABLE}={name}: there is no such root; take one of {known}")
    wanted = DISTRIBUTIONS[name]
    sources = wanted.sources()
    parts = [wanted.suite, *wanted.packages, *PACKAGES, *OPTIONS, sources, platform.release()]
    made_by = (packages.__file__, standalone_python.__file__)
    parts += [Path(str(file)).read_text() for file in made_by]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return cached(f"{name}-{digest}", lambda target: _build(wanted, sources, target))


def cached(name: str, build: Callable[[Path], None]) -> Path:
    """A folder of the cache, built now if it is not there; only one process builds.

    Args:
        name: Its name, which changes with what it is made of.
        build: Makes the folder at the given path, whole or not at all.
    """
    target = cache_folder() / name
    with _locked(cache_folder()):
        if not target.exists():
            build(target)
    return target


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(wanted: Distribution, sources: str, target: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        root = draft / "root"
        mmdebstrap(wanted, sources, ("--variant=minbase",), root)
        # Where the distribution's own sources are: mmdebstrap gives a file another name
        for ending, own in (("sources", "sources.list.d/debian.sources"), ("list", "sources.list")):
            given = root / f"etc/apt/sources.list.d/0000apt.{ending}"
            if given.exists():
                given.rename(root / "etc/apt" / own)
        packages.add_repositories(root)
        if wanted.standalone_python:
            older = Distribution("bookworm", standalone_python.PACKAGES)
            extracted = draft / "older"
            mmdebstrap(older, older.sources(), ("--variant=extract",), extracted, base=())
            standalone_python.place(root, extracted)
        root.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def mmdebstrap(
    wanted: Distribution,
    sources: str,
    options: tuple[str, ...],
    target: Path,
    base: tuple[str, ...] = PACKAGES,
) -> None:
    """Makes a folder of a distribution's packages.

    Args:
        wanted: The distribution.
        sources: Lines of apt's sources; empty for those that mmdebstrap knows.
        options: Arguments beside those that every root has.
        target: The folder, which is not there yet.
        base: Packages beside the distribution's own. Default: a machine's.

    Raises:
        RootError: It failed; with the last lines that it printed.
    """
    command = ["mmdebstrap", "--mode=root", "--quiet", *OPTIONS, *options]
    command += [f"--include={','.join((*base, *wanted.packages))}"]
    command += [f"--components={wanted.components}", wanted.suite, str(target)]
    if sources:
        # mmdebstrap recognizes deb822 by the file's suffix
        listed = target.with_name("apt.sources" if "Types:" in sources else "apt.list")
        listed.write_text(sources)
        command.append(str(listed))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n  ".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RootError(f"mmdebstrap exited {done.returncode}; its last words:\n  {tail}")
