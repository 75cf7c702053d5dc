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
WITHOUT_MODULE = "opt/localaws/packages-without-module"
"""An archive that has no module for the running kernel any more, only the newest kernel's."""
PREFERENCE = 'Package: *\nPin: origin ""\nPin-Priority: 1001\n'
"""Ubuntu's archive has the real ones, for other kernels than this computer's."""
SOURCES = "etc/apt/sources.list.d/localaws.list"

SMI = f"""\
#!/bin/bash
# A dummy: there is no GPU on this machine. Like the real one it needs a module that was loaded.
if [[ ! -e /run/localaws-nvidia ]]; then
  echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'
  exit 9
fi
case $* in
  *name,driver_version*) echo 'dummy GPU, {DRIVER}' ;;
  *name,compute_cap*) echo 'dummy GPU, 7.5' ;;
  *driver_version*) echo '{DRIVER}' ;;
  *) echo 'dummy nvidia-smi of localaws: no GPU here' ;;
esac
"""
MODPROBE = "install nvidia /usr/bin/touch /run/localaws-nvidia\ninstall nvidia_uvm /bin/true\n"


def contents() -> dict[str, dict[str, tuple[str, int]]]:
    """Package names, each with its files: text and mode by path."""
    kernel = platform.release()
    flavor = kernel.rpartition("-")[2]
    module = {
        "etc/modprobe.d/localaws-nvidia.conf": (MODPROBE, 0o644),
        # Stands for udev, which loads the module at boot because the card is there
        "etc/modules-load.d/localaws-nvidia.conf": ("nvidia\n", 0o644),
    }
    made: dict[str, dict[str, tuple[str, int]]] = {
        "ec2-instance-connect": {},
        f"libnvidia-compute-{BRANCH}": {},
        f"nvidia-utils-{BRANCH}": {"usr/bin/nvidia-smi": (SMI, 0o755)},
    }
    for kind in ("", "-open"):
        for suffix in {kernel, flavor}:
            made[f"linux-modules-nvidia-{BRANCH}{kind}-{suffix}"] = module
    return made


def add_repositories(root: Path) -> None:
    """Put both repositories into a root, and name the first in its apt sources."""
    everything = contents()
    without = {n: f for n, f in everything.items() if not n.endswith(f"-{platform.release()}")}
    _add_repository(root / REPOSITORY, everything)
    _add_repository(root / WITHOUT_MODULE, without)
    (root / SOURCES).write_text(source(REPOSITORY))
    (root / "etc/apt/preferences.d/localaws").write_text(PREFERENCE)


def source(repository: str) -> str:
    """The line of apt's sources that names a repository."""
    return f"deb [trusted=yes] file:/{repository} ./\n"


def _add_repository(folder: Path, packages: dict[str, dict[str, tuple[str, int]]]) -> None:
    folder.mkdir(parents=True)
    index = "\n".join(_build(folder, name, files) for name, files in packages.items())
    (folder / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    release = f"Suite: localaws\nSHA256:\n {digest} {len(index.encode())} Packages\n"
    (folder / "Release").write_text(release)


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
