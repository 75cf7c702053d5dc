"""Files of a disk before its first boot that make namespaces look like an EC2 machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from localaws.machines.booted import packages

LOCKS = Path(__file__).parent / "locks"
DEFAULT_CA = Path("/etc/ssl/certs/ca-certificates.crt")

NOT_A_CONTAINER = """\
#!/bin/sh
# localaws: cloud-init believes in EC2 only on a virtual machine of Amazon's.
case " $* " in *" --container "*|*" -c "*) echo none; exit 1 ;; esac
echo amazon
"""
FIRMWARE = """\
#!/bin/sh
# localaws: the firmware of an EC2 instance.
case "$*" in
  *system-uuid*|*system-serial-number*) echo ec2a0000-1111-4222-8333-444455556666 ;;
  *) echo 'Amazon EC2' ;;
esac
"""
CLOUD_CFG = """\
datasource_list: [ Ec2 ]
locale: C.UTF-8
apt: {preserve_sources_list: true}
system_info: {default_user: {name: ubuntu, gecos: Ubuntu}}
# There is no device below the root, and no udev that would take a rule for new network cards
resize_rootfs: false
updates: {network: {when: [boot-new-instance]}}
"""
NETWORKD = "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"


def disguise(
    upper: Path,
    environment: Mapping[str, str],
    hosts: Mapping[str, str],
    *,
    gpu: bool = False,
    module: bool = True,
) -> None:
    """Write the files into the upper layer of a new disk.

    Args:
        upper: The upper layer, a fresh folder.
        environment: Variables for every service of the machine: where the embedded AWS is.
        hosts: Addresses by name, as the network's name server would resolve them.
        gpu: Pretend that a GPU could be there: the real locks, and verify on the GPU. Default:
            the machine's scripts know that there is none.
        module: Whether the archive has the driver's module for the running kernel. Default: it
            has; else only a newer kernel brings it, after a reboot.
    """
    _write(upper, "usr/bin/systemd-detect-virt", NOT_A_CONTAINER, 0o755)
    _write(upper, "usr/sbin/dmidecode", FIRMWARE, 0o755)
    _write(upper, "etc/cloud/ds-identify.cfg", "datasource: Ec2\n")
    _write(upper, "etc/cloud/cloud.cfg.d/90-localaws.cfg", CLOUD_CFG)
    _write(upper, "etc/resolv.conf", "nameserver 10.0.2.3\n")
    _write(upper, "etc/machine-id", "")
    # As on Ubuntu's images: the journal outlives a boot
    (upper / "var/log/journal").mkdir(parents=True)
    place(upper, environment, hosts)
    # A console that is a file has no terminal
    _link(upper, "etc/systemd/system/console-getty.service", "/dev/null")
    _link(upper, NETWORKD, "/lib/systemd/system/systemd-networkd.service")
    bundle = Path(os.environ.get("SSL_CERT_FILE") or DEFAULT_CA)
    if bundle.exists():
        target = upper / DEFAULT_CA.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle, target)
    if not module:
        _write(upper, packages.SOURCES, packages.source(packages.WITHOUT_MODULE))
    if not gpu:
        shutil.copytree(LOCKS, upper / "etc/gpustation/no-gpu")


def place(upper: Path, environment: Mapping[str, str], hosts: Mapping[str, str]) -> None:
    """Write the files that depend on the network into a new disk, also above an image.

    Everything else on such a disk is as the image's machine left it, even the machine id: EC2
    cleans nothing.
    """
    known = {"localhost": "127.0.0.1", **hosts}
    _write(upper, "etc/hosts", "".join(f"{known[name]} {name}\n" for name in known))
    variables = " ".join(f'"{name}={value}"' for name, value in environment.items())
    _write(
        upper,
        "etc/systemd/system.conf.d/50-localaws.conf",
        f"[Manager]\nDefaultEnvironment={variables}\n",
    )


def certificates() -> dict[str, str]:
    """Variables that make pip and uv trust the authorities that this computer trusts."""
    if "SSL_CERT_FILE" not in os.environ:
        return {}
    return {"SSL_CERT_FILE": str(DEFAULT_CA), "PIP_CERT": str(DEFAULT_CA)}


def _write(upper: Path, path: str, text: str, mode: int = 0o644) -> None:
    file = upper / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)


def _link(upper: Path, path: str, target: str) -> None:
    file = upper / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(target)
