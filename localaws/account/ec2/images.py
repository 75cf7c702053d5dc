"""Images, and the public parameters that name them; a region's ids are always the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

CANONICAL = "099720109477"
AMAZON = "898082745236"


@dataclass(frozen=True)
class Image:
    """One machine image."""

    image_id: str
    name: str
    architecture: str = "x86_64"
    root_device: str = "/dev/sda1"
    root_device_type: str = "ebs"
    size_gib: int = 8
    owner: str = CANONICAL
    platform: str = "Linux/UNIX"

    @property
    def snapshot_id(self) -> str:
        """The snapshot behind the root device."""
        return f"snap-{_digits(self.image_id)}"

    def devices(self) -> list[dict[str, Any]]:
        """The block devices of a launch; an instance-store image has none."""
        ebs = {
            "DeleteOnTermination": True,
            "SnapshotId": self.snapshot_id,
            "VolumeSize": self.size_gib,
            "VolumeType": "gp3",
            "Encrypted": False,
        }
        root = {"DeviceName": self.root_device, "Ebs": ebs}
        return [root] if self.root_device_type == "ebs" else []

    def description_row(self) -> dict[str, Any]:
        """As DescribeImages shows it."""
        return {
            "ImageId": self.image_id,
            "Name": self.name,
            "ImageLocation": f"{self.owner}/{self.name}",
            "State": "available",
            "OwnerId": self.owner,
            "Public": True,
            "Architecture": self.architecture,
            "ImageType": "machine",
            "RootDeviceType": self.root_device_type,
            "RootDeviceName": self.root_device,
            "BlockDeviceMappings": self.devices(),
            "VirtualizationType": "hvm",
            "Hypervisor": "xen",
            "EnaSupport": True,
            "PlatformDetails": self.platform,
            "CreationDate": "2026-11-02T00:00:00.000Z",
        }


@dataclass(frozen=True)
class OwnImage(Image):
    """An image of the account, made from one of its instances."""

    region: str = ""
    state: Literal["pending", "available", "failed"] = "pending"
    reason: str = ""
    description: str = ""
    source_instance: str = ""
    created: str = ""
    mappings: tuple[dict[str, Any], ...] = ()

    @property
    def snapshot_id(self) -> str:
        """The snapshot behind the root device."""
        (root,) = [row for row in self.mappings if row["DeviceName"] == self.root_device]
        return str(root["Ebs"]["SnapshotId"])

    def devices(self) -> list[dict[str, Any]]:
        """The block devices of a launch: those of the instance."""
        return [{**row, "Ebs": dict(row["Ebs"])} for row in self.mappings]

    def snapshots(self) -> list[str]:
        """Every snapshot that the image needs."""
        return [str(row["Ebs"]["SnapshotId"]) for row in self.mappings]

    def description_row(self) -> dict[str, Any]:
        """As DescribeImages shows it."""
        shown = super().description_row()
        if self.reason:
            shown["StateReason"] = {"Code": "Client.InternalError", "Message": self.reason}
        return shown | {
            "State": self.state,
            "Public": False,
            "Description": self.description,
            "SourceInstanceId": self.source_instance,
            "CreationDate": self.created,
        }


def _digits(text: str) -> str:
    """17 hex digits as in AWS's ids, derived from a text."""
    return "0" + hashlib.sha256(text.encode()).hexdigest()[:16]


_UBUNTU = "/aws/service/canonical/ubuntu/server/{}/stable/current/{}/hvm/{}/ami-id"
_DLAMI = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-{}/latest/ami-id"
# Ubuntu's parameters end in ebs-gp2 for 22.04 and in ebs-gp3 from 24.04 on. A DLAMI's snapshot
# is larger than Ubuntu's: "expect size >= 75GB" is in the public reports.
_PUBLIC = {
    _UBUNTU.format("22.04", "amd64", "ebs-gp2"): ("ubuntu-jammy-22.04-amd64-server", 8),
    _UBUNTU.format("22.04", "arm64", "ebs-gp2"): ("ubuntu-jammy-22.04-arm64-server", 8),
    _UBUNTU.format("24.04", "amd64", "ebs-gp3"): ("ubuntu-noble-24.04-amd64-server", 8),
    _UBUNTU.format("24.04", "arm64", "ebs-gp3"): ("ubuntu-noble-24.04-arm64-server", 8),
    _DLAMI.format("22.04"): ("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)", 75),
    _DLAMI.format("24.04"): ("Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)", 75),
}


def public_images(region: str) -> dict[str, Image]:
    """The images of a region by the public parameter that names them."""
    images = {}
    for parameter, (name, size) in _PUBLIC.items():
        images[parameter] = Image(
            image_id=f"ami-{_digits(region + parameter)}",
            name=name,
            architecture="arm64" if "arm64" in name else "x86_64",
            size_gib=size,
            owner=AMAZON if "Deep Learning" in name else CANONICAL,
        )
    return images
