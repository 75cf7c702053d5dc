"""Dummy packages named like those that only Ubuntu and NVIDIA have, in an apt repository.

A module package depends on one exact version of ``nvidia-kernel-common``, as Canonical's do: for
580.178.04 on ``(>= 580.178.04)`` and ``(<= 580.178.04-1)``.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

DRIVER = "580.178.04"
OLDER_DRIVER = "580.159.03"
BRANCH = "580-server"
REPOSITORY = "opt/localaws/packages"
WITHOUT_MODULE = "opt/localaws/packages-without-module"
"""An archive whose module for the running kernel is for the driver before: apt knows it and cannot
install it. The meta package brings a newer kernel with its module."""
PREFERENCE = 'Package: *\nPin: origin ""\nPin-Priority: 1001\n'
"""Ubuntu's archive has the real ones, for other kernels than this computer's."""
SOURCES = "etc/apt/sources.list.d/localaws.list"

GPUS = "etc/localaws/gpus"
"""Path of the number of GPUs that the machine's type has."""

SMI = f"""\
#!/bin/bash
# A dummy: there is no GPU on this machine. Like the real one it needs a module that was loaded.
if [[ ! -e /run/localaws-nvidia ]]; then
  echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'
  exit 9
fi
for ((index = 0; index < $(</{GPUS}); index++)); do
  case $* in
    *name,driver_version*) echo 'dummy GPU, {DRIVER}' ;;
    *name,compute_cap*) echo 'dummy GPU, 7.5' ;;
    *driver_version*) echo '{DRIVER}' ;;
    *pci.bus_id*) printf '00000000:00:%02X.0\\n' $((0x1B + index)) ;;
    *utilization.gpu*) cat /run/localaws-gpu-use 2>/dev/null || echo 0 ;;
    *) echo "GPU $index: dummy nvidia-smi of localaws, no GPU here" ;;
  esac
done
"""
MODPROBE = "install nvidia /usr/bin/touch /run/localaws-nvidia\ninstall nvidia_uvm /bin/true\n"


@dataclass(frozen=True)
class Dummy:
    """One package.

    Attributes:
        files: Text and mode by path.
        depends: As in the control file.
        postinst: Script that runs after the installation. Default: none.
    """

    files: dict[str, tuple[str, int]] = field(default_factory=dict)
    depends: str = ""
    postinst: str = ""


ACTIVE_KEYS = """\
#!/bin/sh
# localaws: stands for Ubuntu's eic_run_authorized_keys, without the check of AWS's signature.
base=http://169.254.169.254/latest
token=$(curl -s -f -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 5' "$base/api/token") ||
  exit 0
curl -s -f -m 5 -H "X-aws-ec2-metadata-token: $token" \\
  "$base/meta-data/managed-ssh-keys/active-keys/$1" || exit 0
"""
_ACTIVE_KEYS_PATH = "usr/share/ec2-instance-connect/eic_run_authorized_keys"
INSTANCE_CONNECT = Dummy(
    files={
        _ACTIVE_KEYS_PATH: (ACTIVE_KEYS, 0o755),
        "etc/ssh/sshd_config.d/60-ec2-instance-connect.conf": (
            f"AuthorizedKeysCommand /{_ACTIVE_KEYS_PATH} %u %f\n"
            "AuthorizedKeysCommandUser ec2-instance-connect\n",
            0o644,
        ),
    },
    postinst="""\
#!/bin/sh
# Like Ubuntu's: a user of its own, and sshd reads its configuration again.
set -e
id -u ec2-instance-connect >/dev/null 2>&1 ||
  useradd --system --no-create-home --shell /usr/sbin/nologin ec2-instance-connect
if [ -d /run/systemd/system ]; then systemctl try-reload-or-restart ssh.service || true; fi
""",
)
"""EC2 Instance Connect's part on a machine: sshd asks for the keys that were pushed."""


def contents(*, fitting: bool) -> dict[str, Dummy]:
    """Packages by name.

    Args:
        fitting: Whether the running kernel's module fits the driver; else only that of a newer
            kernel does, which the meta package brings.
    """
    running = platform.release()
    flavor = running.rpartition("-")[2]
    newest = running if fitting else f"99.0.0-1-{flavor}"
    made = {
        "ec2-instance-connect": INSTANCE_CONNECT,
        f"nvidia-kernel-common-{BRANCH}": Dummy(),
        f"libnvidia-compute-{BRANCH}": Dummy(),
        f"nvidia-utils-{BRANCH}": Dummy(
            {"usr/bin/nvidia-smi": (SMI, 0o755)}, f"libnvidia-compute-{BRANCH}"
        ),
        **{f"linux-image-{kernel}": Dummy() for kernel in (running, newest)},
    }
    for kind in ("", "-open"):
        name = f"linux-modules-nvidia-{BRANCH}{kind}"
        made[f"{name}-{running}"] = _module(running, DRIVER if fitting else OLDER_DRIVER)
        made[f"{name}-{newest}"] = _module(newest, DRIVER)
        made[f"{name}-{flavor}"] = Dummy(depends=f"{name}-{newest}")
    return made


def _module(kernel: str, driver: str) -> Dummy:
    common = f"nvidia-kernel-common-{BRANCH}"
    files = {
        f"etc/modprobe.d/localaws-nvidia-{kernel}.conf": (MODPROBE, 0o644),
        # Stands for udev, which loads the module at boot because the card is there
        f"etc/modules-load.d/localaws-nvidia-{kernel}.conf": ("nvidia\n", 0o644),
    }
    pins = f"{common} (>= {driver}), {common} (<= {driver}-1)"
    return Dummy(files, f"linux-image-{kernel}, {pins}")


def add_repositories(root: Path) -> None:
    """Put both repositories into a root, and name the first in its apt sources."""
    _add_repository(root / REPOSITORY, contents(fitting=True))
    _add_repository(root / WITHOUT_MODULE, contents(fitting=False))
    (root / SOURCES).write_text(source(REPOSITORY))
    (root / "etc/apt/preferences.d/localaws").write_text(PREFERENCE)


def source(repository: str) -> str:
    """The line of apt's sources that names a repository."""
    return f"deb [trusted=yes] file:/{repository} ./\n"


def _add_repository(folder: Path, packages: dict[str, Dummy]) -> None:
    folder.mkdir(parents=True)
    index = "\n".join(_build(folder, name, dummy) for name, dummy in packages.items())
    (folder / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    release = f"Suite: localaws\nSHA256:\n {digest} {len(index.encode())} Packages\n"
    (folder / "Release").write_text(release)


def _build(folder: Path, name: str, dummy: Dummy) -> str:
    """Build one package; returns its entry in the index."""
    control = (
        f"Package: {name}\nVersion: {DRIVER}-0localaws1\nArchitecture: amd64\n"
        "Maintainer: gpustation <gpustation@localhost>\nDescription: dummy of localaws\n"
    )
    if dummy.depends:
        control += f"Depends: {dummy.depends}\n"
    with tempfile.TemporaryDirectory() as draft:
        tree = Path(draft, "tree")
        entries = {"DEBIAN/control": (control, 0o644), **dummy.files}
        if dummy.postinst:
            entries["DEBIAN/postinst"] = (dummy.postinst, 0o755)
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
