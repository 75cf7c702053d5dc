"""Dummy packages named like those that only Ubuntu and NVIDIA have, in an apt repository."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from pathlib import Path

DRIVER = "580.178.04"
BRANCH = "580-server"
REPOSITORY = "opt/localaws/packages"

SMI = f"""\
#!/bin/bash
# A dummy: there is no GPU on this machine.
case $* in
  *name,driver_version*) echo 'dummy GPU, {DRIVER}' ;;
  *driver_version*) echo '{DRIVER}' ;;
  *) echo 'dummy nvidia-smi of localaws: no GPU here' ;;
esac
"""
MODPROBE = "install nvidia /bin/true\ninstall nvidia_uvm /bin/true\n"


def contents() -> dict[str, dict[str, tuple[str, int]]]:
    """Package names, each with its files: text and mode by path."""
    kernel = platform.release()
    flavor = kernel.rpartition("-")[2]
    module = {"etc/modprobe.d/localaws-nvidia.conf": (MODPROBE, 0o644)}
    made: dict[str, dict[str, tuple[str, int]]] = {
        "ec2-instance-connect": {},
        f"libnvidia-compute-{BRANCH}": {},
        f"nvidia-utils-{BRANCH}": {"usr/bin/nvidia-smi": (SMI, 0o755)},
    }
    for kind in ("", "-open"):
        for suffix in {kernel, flavor}:
            made[f"linux-modules-nvidia-{BRANCH}{kind}-{suffix}"] = module
    return made


def add_repository(root: Path) -> None:
    """Put the packages and their index into a root, and name them in its apt sources."""
    folder = root / REPOSITORY
    folder.mkdir(parents=True)
    index = "\n".join(_build(folder, name, files) for name, files in contents().items())
    (folder / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    release = f"Suite: localaws\nSHA256:\n {digest} {len(index.encode())} Packages\n"
    (folder / "Release").write_text(release)
    source = f"deb [trusted=yes] file:/{REPOSITORY} ./\n"
    (root / "etc/apt/sources.list.d/localaws.list").write_text(source)


def _build(folder: Path, name: str, files: dict[str, tuple[str, int]]) -> str:
    """Build one package; returns its entry in the index."""
    control = (
        f"Package: {name}\nVersion: {DRIVER}-0localaws1\nArchitecture: amd64\n"
        "Maintainer: gpustation <gpustation@localhost>\nDescription: dummy of localaws\n"
    )
    with tempfile.TemporaryDirectory() as draft:
        tree = Path(draft, "tree")
        entries = {"DEBIAN/control": (control, 0o644), **files}
        for path, (text, mode) in entries.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(mode)
        tree.chmod(0o755)
        target = folder / f"{name}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(target)]
        subprocess.run(command, check=True, capture_output=True)
    data = target.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return f"{control}Filename: ./{target.name}\nSize: {len(data)}\nSHA256: {digest}\n"
