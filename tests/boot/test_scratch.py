"""The instance store at /scratch, on machines that booted, with loop devices as its disks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.phase_machine import Machine, phase_machine

# Real file systems and mounts, which the tests with stubs do not have.
pytestmark = pytest.mark.tier("all")

PHASE = "scratch"
FOLDER = "15-mount-scratch"
SHOW = "findmnt -n -o FSTYPE,OPTIONS /scratch"
EBS = "Amazon Elastic Block Store"
DLAMI_UNIT = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash /root/dlami.sh
[Install]
WantedBy=multi-user.target
"""
# As AWS's nvme_ephemeral_drives.sh, but without LVM, which this kernel does not have.
DLAMI = """sleep 3
blkid -p /dev/nvme1n1 || mkfs.ext4 -q /dev/nvme1n1
mkdir -p /opt/dlami/nvme
mount -o noatime /dev/nvme1n1 /opt/dlami/nvme
chmod 1777 /opt/dlami/nvme
"""


@contextlib.contextmanager
def _machine(distribution: str, folder: Path, *disks: int) -> Iterator[Machine]:
    name = f"i-{folder.name}"[:40]
    with phase_machine(distribution, folder, name=name, instance_store=disks) as machine:
        machine.sh("mkdir -p /etc/gpustation /var/lib/gpustation/warnings; id ubuntu")
        machine.sh("echo '{}' >/etc/gpustation/bootstrap.json; chmod 0751 /home/ubuntu")
        yield machine


def _mount(machine: Machine) -> str:
    machine.sh(f"rm -f /var/lib/gpustation/warnings/{PHASE}")
    return machine.phase(PHASE, FOLDER)


def _warning(machine: Machine) -> str:
    return machine.sh(f"cat /var/lib/gpustation/warnings/{PHASE} 2>/dev/null || true")


def _keep_file(machine: Machine) -> None:
    machine.sh("sudo -u ubuntu sh -c 'echo kept >/scratch/file'; sync")


def test_one_disk(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, 125) as machine:
        assert "/scratch has 114 GiB" in _mount(machine)
        kind, options = machine.sh(SHOW).split()
        assert kind == "ext4"
        assert {"nosuid", "nodev", "noatime"} <= {*options.split(",")}
        assert machine.sh("stat -c '%U %G %a' /scratch") == "ubuntu ubuntu 751"
        assert machine.sh("blkid -p -s LABEL -o value /dev/nvme1n1") == "gpustation"
        _keep_file(machine)
        machine.sh("chmod 1777 /scratch")
        assert "formatt" not in _mount(machine), "the phase runs again in the same boot"

        machine.reboot()
        machine.sh("! mountpoint -q /scratch")
        assert "mkfs" not in _mount(machine)
        assert machine.sh("cat /scratch/file; stat -c %a /scratch") == "kept\n1777"

        machine.stop_and_start()
        assert "mkfs.ext4" in _mount(machine)
        assert machine.sh("ls -A /scratch; stat -c '%U %a' /scratch") == "lost+found\nubuntu 751"
        assert _warning(machine) == ""

        machine.stop_and_start(())
        assert _mount(machine) == "", "a type without instance store: nothing is said"
        machine.sh("[[ ! -e /scratch && ! -e /run/gpustation/scratch ]]")


def test_several_disks(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, *[940] * 4) as machine:
        assert "/scratch has 3502 GiB" in _mount(machine)
        assert machine.sh(SHOW).split()[0] == "btrfs"
        profiles = machine.sh("btrfs filesystem df /scratch")
        assert "Data, RAID0" in profiles
        assert "Metadata, RAID1" in profiles
        _keep_file(machine)
        machine.sh("sudo -u ubuntu dd if=/dev/urandom of=/scratch/more bs=1M count=64 status=none")
        before = machine.sh("sha256sum /scratch/more; sync")

        machine.reboot()
        assert "mkfs" not in _mount(machine)
        assert machine.sh("sha256sum /scratch/more") == before
        assert machine.sh("stat -c '%U %a' /scratch") == "ubuntu 751"

        machine.stop_and_start((125,))
        assert "mkfs.ext4" in _mount(machine), "another type has one disk"
        assert machine.sh("ls /scratch") == "lost+found"
        machine.stop_and_start((450, 450))
        assert "mkfs.btrfs" in _mount(machine)
        assert _warning(machine) == ""


def test_disks_that_are_not_ours_are_left_alone(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, *[2] * 5) as machine:
        machine.sh(
            "mkfs.ext4 -q -L gpustation-own /dev/nvme1n1; mkfs.btrfs -q /dev/nvme2n1; "
            "mkfs.ext4 -q /dev/nvme3n1; mkdir /mnt/own; mount /dev/nvme3n1 /mnt/own; "
            # Not swapon, which would be this computer's
            "mkswap -q /dev/nvme4n1; "
            f"printf '%-40s\\n' '{EBS}' >/sys/block/nvme5n1/device/model"
        )
        digests = "sync; for i in 1 2 4 5; do head -c 1M /dev/nvme${i}n1 | sha256sum; done"
        before = machine.sh(digests)
        said = _mount(machine)
        assert machine.sh(digests) == before
        machine.sh("[[ ! -e /scratch ]]")
        assert "nvme3n1 is left alone: it is mounted at /mnt/own" in said
        assert "nvme5n1" not in said, "a blank EBS volume is no instance store"
        warned = _warning(machine)
        assert "/dev/nvme1n1 of the instance store is left alone: it has ext4" in warned
        assert "sudo wipefs --all /dev/nvme2n1, then reboot" in warned
        assert "/dev/nvme4n1 of the instance store is left alone: it has swap" in warned
        assert "nvme3n1" not in warned, "who uses a disk knows of it"
        machine.sh("wipefs -q --all /dev/nvme1n1 /dev/nvme4n1")
        assert "mkfs.btrfs" in _mount(machine), "the blank ones are used"
        used = machine.sh("btrfs filesystem show /scratch")
        assert ("nvme1n1" in used, "nvme4n1" in used, "nvme2n1" in used) == (True, True, False)
        machine.sh("umount /scratch /mnt/own")


def test_interrupted_formatting(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, 2, 2) as machine:
        own = uuid.uuid4()  # the kernel knows the file systems of all machines by it
        make = f"mkfs.btrfs -q -f -d raid0 -m raid1 -L gpustation -U {own} /dev/nvme[12]n1"
        # One of the two disks has been written when the power fails.
        machine.sh(f"{make}; wipefs -q --all /dev/nvme2n1")
        machine.sh(f"echo 'ready {own}' >/var/lib/gpustation/scratch")
        _mount(machine)
        assert "to give up what is on it: sudo wipefs --all /dev/nvme1n1" in _warning(machine)
        machine.sh("[[ ! -e /scratch ]]; blkid -p /dev/nvme1n1")

        machine.sh(f"echo 'formatting {own}' >/var/lib/gpustation/scratch")
        assert "formatting was interrupted" in _mount(machine)
        assert machine.sh("btrfs filesystem show /scratch").count("path") == 2
        assert machine.sh("stat -c %U /scratch") == "ubuntu"
        assert machine.sh("cat /var/lib/gpustation/scratch").startswith("ready ")

        # Formatted, and then the power fails before it has an owner.
        machine.sh(f"umount /scratch; rm /run/gpustation/scratch; {make}")
        machine.sh(f"echo 'formatting {own}' >/var/lib/gpustation/scratch")
        assert "mkfs" not in _mount(machine)
        assert machine.sh("stat -c %U /scratch") == "ubuntu"


def test_folders_of_others(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, 2) as machine:
        machine.sh("mkdir /scratch; touch /scratch/mine")
        _mount(machine)
        assert "/scratch on the root disk is not empty" in _warning(machine)
        assert machine.sh("blkid -p /dev/nvme1n1 || ls /scratch") == "mine"
        machine.sh("rm -r /scratch; ln -s /tmp /scratch")
        _mount(machine)
        assert "/scratch is not a folder" in _warning(machine)
        machine.sh("rm /scratch; mkdir /scratch; mount -t tmpfs mine /scratch")
        assert "something else is mounted there" in _mount(machine)
        machine.sh("[[ ! -e /run/gpustation/scratch ]]; umount /scratch")
        assert "mkfs.ext4" in _mount(machine)


def test_deep_learning_ami(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, 2) as machine:
        for path, text in (("/root/dlami.sh", DLAMI), ("/root/unit", DLAMI_UNIT)):
            machine.sh(f"cat >{path} <<'EOF'\n{text}EOF")
        machine.sh("cp /root/unit /etc/systemd/system/dlami-nvme.service; systemctl daemon-reload")
        machine.sh("systemctl enable -q dlami-nvme; systemctl start --no-block dlami-nvme")
        assert "mount --bind /opt/dlami/nvme /scratch" in _mount(machine)
        assert machine.sh("stat -c '%U %a' /scratch") == "root 1777", "as the image has it"
        _keep_file(machine)
        assert machine.sh("cat /opt/dlami/nvme/file") == "kept"
        machine.reboot()
        _mount(machine)
        assert machine.sh("cat /scratch/file") == "kept"

        machine.sh("umount /scratch /opt/dlami/nvme; rm /run/gpustation/scratch")
        machine.sh("echo 'exit 0' >/root/dlami.sh; systemctl restart dlami-nvme")
        _mount(machine)
        assert "which mounts the instance store of this image, did not" in _warning(machine)
        machine.sh("[[ ! -e /scratch ]]")


def test_tools_of_btrfs_are_installed_or_missed(distribution: str, tmp_path: Path) -> None:
    with _machine(distribution, tmp_path, 2, 2) as machine:
        machine.sh("DEBIAN_FRONTEND=noninteractive apt-get -qy purge btrfs-progs")
        machine.sh("mv /etc/apt /etc/apt.away; mkdir /etc/apt")
        _mount(machine)
        assert "could not be formatted with btrfs" in _warning(machine)
        machine.sh("[[ ! -e /scratch ]]; rm -r /etc/apt; mv /etc/apt.away /etc/apt")
        assert "/scratch has 4 GiB" in _mount(machine)
        assert _warning(machine) == ""


def test_programs_that_already_run_see_it(distribution: str, tmp_path: Path) -> None:
    """Jupyter has its own /tmp, so its own mounts, and starts at a boot before the phase runs."""
    with _machine(distribution, tmp_path, 2) as machine:
        machine.sh(
            "systemd-run -q --unit=early --uid=ubuntu -p PrivateTmp=yes -p ProtectSystem=full "
            "-p NoNewPrivileges=yes bash -c 'until mountpoint -q /scratch; do sleep 0.2; done; "
            "touch /scratch/seen'"
        )
        _mount(machine)
        machine.sh("for i in $(seq 50); do [[ -e /scratch/seen ]] && exit; sleep 0.2; done; exit 1")
