"""The instance store of machines that boot: a loop device stands in for each of its NVMe disks.

A disk is a file without a name, sparse, of the type's real size. Its loop device clears itself when
the last process closes it, so nothing is left of one whose owner was killed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path

CONTROL = Path("/dev/loop-control")
MODEL = "Amazon EC2 NVMe Instance Storage"
ROOT_MODEL = "Amazon Elastic Block Store"
"""What /sys says of an EBS volume."""
BYTES_PER_GB = 10**9
SECTOR = 512
TRIES = 20
"""Another process may take the free device first."""

# linux/loop.h
_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A
_AUTOCLEAR = 4
_INFO_BYTES, _FLAGS_OFFSET, _NAME_OFFSET, _NAME_BYTES, _RESERVED_BYTES = 232, 52, 56, 64, 64


class Disk:
    """One blank disk, until it is closed.

    Args:
        gigabytes: Its size, as EC2 counts it: 10^9 bytes.
        folder: Where its file is; not on an overlay.

    Raises:
        OSError: There is no loop device for it.
    """

    def __init__(self, gigabytes: int, folder: Path) -> None:
        self.gigabytes = gigabytes
        with tempfile.TemporaryFile(dir=folder) as file:
            file.truncate(gigabytes * BYTES_PER_GB)
            self.device, self._handle = _attach(file.fileno())

    @property
    def sectors(self) -> int:
        """Its size in sectors of 512 bytes, as /sys counts."""
        return self.gigabytes * BYTES_PER_GB // SECTOR

    @property
    def number(self) -> str:
        """The device's major and minor number, such as ``7:0``."""
        known = os.fstat(self._handle).st_rdev
        return f"{os.major(known)}:{os.minor(known)}"

    def close(self) -> None:
        """Give it up; its content is gone when no machine has it mounted."""
        os.close(self._handle)


def make_disks(sizes: Iterable[int], folder: Path) -> tuple[Disk, ...]:
    """Blank disks of these sizes in GB: all of them, or none.

    Raises:
        OSError: There are not enough loop devices.
    """
    made: list[Disk] = []
    try:
        for size in sizes:
            made.append(Disk(size, folder))
    except OSError:
        for disk in made:
            disk.close()
        raise
    return tuple(made)


def describe(disks: Iterable[Disk], folder: Path) -> None:
    """Write what /sys/block says of the disks, and of the root disk, into a folder."""
    _describe(folder / "nvme0n1", ROOT_MODEL, "0:0", 0)
    for index, disk in enumerate(disks, 1):
        _describe(folder / f"nvme{index}n1", MODEL, disk.number, disk.sectors)


def _describe(folder: Path, model: str, number: str, sectors: int) -> None:
    (folder / "device").mkdir(parents=True, exist_ok=True)
    (folder / "holders").mkdir(exist_ok=True)
    # The NVMe driver fills the name up with blanks
    (folder / "device/model").write_text(f"{model:<40}\n")
    (folder / "dev").write_text(f"{number}\n")
    (folder / "size").write_text(f"{sectors}\n")


def _attach(file: int) -> tuple[Path, int]:
    """A loop device on an open file, and a handle that keeps it."""
    flags = os.O_RDWR | os.O_CLOEXEC
    info = bytearray(_INFO_BYTES)
    struct.pack_into("=I", info, _FLAGS_OFFSET, _AUTOCLEAR)
    # mkfs.btrfs takes two devices whose files have one name for the same disk
    name = f"localaws-{secrets.token_hex(8)}".encode()
    struct.pack_into(f"={_NAME_BYTES}s", info, _NAME_OFFSET, name)
    request = struct.pack("=II", file, SECTOR) + bytes(info) + bytes(_RESERVED_BYTES)
    control = os.open(CONTROL, flags)
    try:
        for _ in range(TRIES):
            device = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            handle = os.open(device, flags)
            try:
                fcntl.ioctl(handle, _CONFIGURE, request)
            except OSError as error:
                os.close(handle)
                if error.errno != errno.EBUSY:
                    raise
                continue
            return device, handle
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "other processes take every loop device", str(CONTROL))
