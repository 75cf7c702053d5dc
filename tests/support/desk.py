"""A person's desk: a root of Debian 13 with a browser, AWS CLI 2 and OpenSSH, of Debian's packages.

Its programs run on this computer's network, so that they reach the embedded AWS and a tunnel, but
in a file system of their own: nothing is installed on this computer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localaws.machines.booted.root import DISTRIBUTIONS, Distribution, cached, mmdebstrap

PACKAGES = ("awscli", "chromium", "openssh-client", "ca-certificates", "fonts-dejavu-core")
ENTER = """
set -eu
root=$1 home=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$home" "$root/root"
exec chroot "$root" /usr/bin/env HOME=/root PATH=/usr/bin:/bin "$@"
"""
"""In namespaces of its own, which end with it: --kill-child, as unshare ignores SIGTERM."""
BROWSER = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--user-data-dir=/tmp/profile", "--hide-scrollbars", "--window-size=1280,800"),
)


class Desk:
    """The desk.

    Args:
        home: The person's home folder, which is ``/root`` at the desk.
        variables: Variables of the person, e.g. AWS's.
    """

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home = home
        self._root = _root()
        aws = {name: value for name, value in variables.items() if name.startswith("AWS_")}
        self._environment = {**aws, "PATH": os.environ["PATH"]}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command at the desk."""
        enter = ["bash", "-c", ENTER, "enter", str(self._root), str(self.home)]
        return subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *enter, *words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, given: str = "", seconds: float = 120) -> tuple[int, str, str]:
        """Exit status, output and errors of a command at the desk."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(given, seconds)
            finally:
                process.kill()
        print(f"$ {' '.join(words)}\n{out}{err}")
        return process.returncode, out.strip(), err.strip()

    def browse(self, url: str, picture: str) -> str:
        """What a browser makes of a page, as HTML; its picture is in the home folder."""
        wait = ("--timeout=30000", "--virtual-time-budget=20000")
        status, page, err = self.run(*BROWSER, *wait, "--dump-dom", url)
        assert status == 0, err
        status, _, err = self.run(*BROWSER, *wait, f"--screenshot=/root/{picture}", url)
        assert status == 0, err
        return page


def _root() -> Path:
    wanted = Distribution("trixie", PACKAGES)
    sources = wanted.sources()
    parts = [*PACKAGES, sources, str(DISTRIBUTIONS["debian-13"])]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return cached(f"desk-{digest}", lambda target: _build(wanted, sources, target))


def _build(wanted: Distribution, sources: str, target: Path) -> None:
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        mmdebstrap(wanted, sources, ("--variant=minbase",), draft / "root", base=())
        (draft / "root").rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
