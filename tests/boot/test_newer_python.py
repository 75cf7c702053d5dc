"""``make quick`` in a Debian 13 root: another Python, and a computer that has nothing but it.

Only a computer of its own shows that a test leans on the Python that happens to be here, or that
``make setup`` needs a program that it does not name. No machine boots; it runs in the host's
network, with the registries that the host's own clients are set up for.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localaws.machines.booted.root import machine_root
from tests.support.synthesis import ROOT

PATIENCE = 900
"""Seconds, most of which go into the environment's downloads."""
ENTER = """
set -euo pipefail
lower=$1 disk=$2
shift 2
mkdir -p "$disk"/{upper,work,merged}
mount -t overlay root -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" "$disk/merged"
mount -t proc proc "$disk/merged/proc"
mount --rbind /dev "$disk/merged/dev"
mount -t tmpfs tmpfs "$disk/merged/tmp"
exec chroot "$disk/merged" "$@"
"""
CERTIFICATES = (
    *("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"),
)
"""Variables that name a file of certificates which this computer trusts."""


def ask(*command: str) -> str:
    """What a package client says of its own configuration; empty where it is not set."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def registries() -> dict[str, str]:
    """Where packages come from, as variables of the clients."""
    found = {
        "PIP_INDEX_URL": ask(sys.executable, "-m", "pip", "config", "get", "global.index-url"),
        "npm_config_registry": ask("npm", "config", "get", "registry"),
    }
    return {name: value for name, value in found.items() if value.startswith("http")}


def place(upper: Path, path: Path) -> None:
    """Copy a file of this computer to where it is."""
    target = upper / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def checkout(target: Path) -> None:
    """The tree as it is here, changes included, as a clone."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(target)], check=True)
    changed = ["git", "ls-files", "--modified", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(changed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)
        else:
            (target / name).unlink()


@pytest.mark.timeout(PATIENCE + 300)
def test_the_quick_tier_passes_on_debian_13(tmp_path: Path) -> None:
    root, upper = machine_root("debian-13"), tmp_path / "upper"
    checkout(upper / "root/gpustation")
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    environment |= registries()
    for name in CERTIFICATES:
        if file := os.environ.get(name):
            place(upper, Path(file))
            environment[name] = file
    place(upper, Path("/etc/resolv.conf"))
    place(upper, Path("/etc/hosts"))
    inside = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    inside += ["make", "--no-print-directory", "-C", "/root/gpustation", "quick"]
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    done = subprocess.run(
        [*spaces, "bash", "-c", ENTER, "enter", str(root), str(tmp_path), *inside],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0
    assert "Python 3.13." in done.stdout
    passed = re.search(r"(\d+) passed", done.stdout.splitlines()[-1])
    assert passed is not None
    assert int(passed[1]) > 700
