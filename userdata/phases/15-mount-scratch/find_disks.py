"""Prints the NVMe disks of the instance store, one a line: device, state and detail, between tabs.

The states are ``blank``; ``ours``, a file system of this phase, with its type and UUID; and those
that must be left alone, with the reason: ``used``, somebody uses the disk now, and ``foreign``,
something is on it that is not ours.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
BLOCK = Path(ROOT + "/sys/block")
MOUNTS = Path(ROOT + "/proc/self/mountinfo")
SWAPS = Path(ROOT + "/proc/swaps")
#: The model of instance store. An EBS volume, which may be a person's, is
#: "Amazon Elastic Block Store" (EC2 user guide, "NVMe").
MODEL = "Amazon EC2 NVMe Instance Storage"
#: Label of our file systems; phase.sh has the same.
LABEL = "gpustation"
TYPES = ("ext4", "btrfs")
#: Seconds for reading one disk.
SECONDS = 60


def disks() -> Iterator[Path]:
    """Yield the folders in /sys/block of the disks of the instance store, by their numbers."""
    paths = BLOCK.glob("nvme*n*") if BLOCK.is_dir() else ()
    for path in sorted(paths, key=lambda path: (len(path.name), path.name)):
        try:
            model = (path / "device/model").read_text(errors="replace")
        except OSError:
            continue
        if " ".join(model.split()) == MODEL:
            yield path


def user_of(disk: Path, device: str) -> str:
    """Return who uses a disk, in words; empty if nobody does."""
    holders = disk / "holders"
    above = sorted(path.name for path in holders.iterdir()) if holders.is_dir() else []
    if above:
        return f"it is a part of {', '.join(above)}"
    parts = {device, *(f"{ROOT}/dev/{path.name}" for path in disk.glob(f"{disk.name}p*"))}
    numbers = {path.read_text().strip() for path in (disk / "dev", *disk.glob("*p*/dev"))}
    for line in MOUNTS.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        # That of btrfs has a number of its own
        if fields[2] in numbers or after.split()[1] in parts:
            return f"it is mounted at {fields[4]}"
    for line in SWAPS.read_text(errors="replace").splitlines()[1:]:
        if line.split()[0] in parts:
            return "it is swap space"
    return ""


def content_of(device: str) -> tuple[str, str]:
    """Return the state of a disk that nobody uses, and its detail."""
    command = ["wipefs", "--no-act", "--parsable", "--output", "TYPE,UUID,LABEL", device]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "foreign", f"it cannot be examined: {error}"
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    if done.returncode:
        return "foreign", f"it cannot be examined: {' '.join(lines)[:200]}"
    if not lines:
        return "blank", ""
    kind, uuid, label = [*lines[0].split(","), "", ""][:3]
    if len(lines) == 1 and kind in TYPES and label == LABEL:
        return "ours", f"{kind} {uuid}"
    kinds = dict.fromkeys(line.partition(",")[0] for line in lines)
    return "foreign", f"it has {', '.join(kinds)}"


def main() -> None:
    """Print the disks."""
    for disk in disks():
        device = f"{ROOT}/dev/{disk.name}"
        user = user_of(disk, device)
        state, detail = ("used", user) if user else content_of(device)
        print(device, state, detail, sep="\t")


if __name__ == "__main__":
    main()
