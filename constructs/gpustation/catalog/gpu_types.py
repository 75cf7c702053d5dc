"""The GPU instance types of EC2: hardware, quota, price, and supported frameworks.

The data and their sources are in ``gpu_types.csv``.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from gpustation.catalog.frameworks import ARCHITECTURES, DRIVER_BRANCH, REACH

RETIRED_FAMILIES = {
    # family: its GPU, and the closest type that AWS still offers
    "g2": ("GRID K520", "g4dn.xlarge"),
    "g3": ("M60", "g4dn.xlarge"),
    "g3s": ("M60", "g4dn.xlarge"),
    "p2": ("K80", "g4dn.xlarge"),
    "p3": ("V100", "g5.xlarge"),
}
"""Retired families that Dive into Deep Learning's chapter mentions or used to mention."""


@dataclass(frozen=True)
class GpuType:
    """One EC2 instance type with a GPU.

    Attributes:
        name: Instance type, e.g. ``"g4dn.xlarge"``.
        gpu: GPU model, e.g. ``"t4"``.
        gpus: Number of whole GPUs; 0 for a type with a fraction of a GPU.
        compute_capability: NVIDIA compute capability, e.g. ``"7.5"``; empty for other vendors.
        cpu_architecture: ``"amd64"`` or ``"arm64"``.
        vcpus: Default number of vCPUs, the unit of the quotas.
        quota_code: Service Quotas code of the on-demand quota.
        spot_quota_code: The code of the spot quota; empty where public tables disagree.
        usd_per_hour: On-demand price in us-east-1 on 2026-07-20; ``None`` if none is public.
        driver: Kernel module: ``"open"``, ``"proprietary"``, ``"grid"`` or ``"amd"``.
        min_driver: Oldest of Ubuntu's driver branches (580, 595) that supports it; 0 if none does.
        nvswitch: True if the GPUs need nvidia-fabricmanager.
        nvlsm: True if the fabric manager needs NVIDIA's NVLink Subnet Manager.
    """

    name: str
    gpu: str
    gpus: int
    compute_capability: str
    cpu_architecture: str
    vcpus: int
    quota_code: str
    spot_quota_code: str
    usd_per_hour: float | None
    driver: str
    min_driver: int
    nvswitch: bool
    nvlsm: bool

    @property
    def family(self) -> str:
        """The part before the dot, e.g. ``"g4dn"``."""
        return self.name.partition(".")[0]

    def obstacle(self, framework: str) -> str | None:
        """Reason why the framework cannot run on this type, as a clause; ``None`` if it can."""
        if self.driver == "amd":
            return "its GPU is made by AMD and has no CUDA"
        if self.cpu_architecture != "amd64":
            return "its processor is ARM, and there are no CUDA builds of the frameworks for it"
        if self.driver == "grid":
            return "it has a fraction of a GPU, which only NVIDIA's licensed vGPU driver can use"
        if not _runs_on(ARCHITECTURES[framework], self.compute_capability):
            return (
                f"its {self.gpu.upper()} has compute capability {self.compute_capability}, and "
                f"{REACH[framework]}"
            )
        if self.min_driver > DRIVER_BRANCH:
            return (
                f"its {self.gpu.upper()} needs driver {self.min_driver}, and machines install "
                f"the long-term branch {DRIVER_BRANCH}"
            )
        if self.nvlsm:
            return (
                "its NVSwitches need NVIDIA's NVLink Subnet Manager (nvlsm) and the kernel module "
                "ib_umad, which machines do not install: CUDA would fail with error 802 on every "
                "GPU"
            )
        return None


@functools.cache
def gpu_types() -> dict[str, GpuType]:
    """All types of the catalog by name, in its order: by family, from small to large."""
    text = (Path(__file__).parent / "gpu_types.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {row["type"]: _from_row(row) for row in rows}


def require_type(name: str) -> GpuType:
    """The type with this name.

    Raises:
        ValueError: The type is not in the catalog.
    """
    gpu_type = gpu_types().get(name)
    if gpu_type is None:
        raise ValueError(f"instance_type must be a GPU type of the catalog, got {name}")
    return gpu_type


def require_fitting(name: str, framework: str) -> GpuType:
    """The type with this name, if the framework runs on it.

    Raises:
        ValueError: The type is not in the catalog, or the framework cannot run on it.
    """
    gpu_type = require_type(name)
    obstacle = gpu_type.obstacle(framework)
    if obstacle:
        raise ValueError(f"instance_type {name} cannot run {framework}, {obstacle}")
    return gpu_type


def _from_row(row: dict[str, str]) -> GpuType:
    return GpuType(
        name=row["type"],
        gpu=row["gpu"],
        gpus=0 if "/" in row["gpus"] else int(row["gpus"]),
        compute_capability=row["compute_cap"],
        cpu_architecture=row["cpu_arch"],
        vcpus=int(row["vcpu"]),
        quota_code=row["quota_od"],
        spot_quota_code="" if row["quota_spot"].endswith("?") else row["quota_spot"],
        usd_per_hour=float(row["usd_h_us_east_1"]) if row["usd_h_us_east_1"] else None,
        driver=row["driver"],
        min_driver=int(row["min_driver"] or 0),
        nvswitch=row["nvswitch"] == "1",
        nvlsm=row["nvlsm"] == "1",
    )


def _runs_on(architectures: tuple[str, ...], compute_capability: str) -> bool:
    """A cubin runs on GPUs of its major version with an equal or higher minor version (NVIDIA)."""
    major, _, minor = compute_capability.partition(".")
    for architecture in architectures:
        a_major, _, a_minor = architecture.partition(".")
        if a_major == major and int(a_minor) <= int(minor):
            return True
    return False


def types_for(framework: str) -> list[GpuType]:
    """The types that run the framework, cheapest first, those without a price last."""
    fitting = [t for t in gpu_types().values() if t.obstacle(framework) is None]
    return sorted(fitting, key=lambda t: (t.usd_per_hour is None, t.usd_per_hour or 0.0, t.name))


def capabilities_for(framework: str, driver: str) -> list[str]:
    """Compute capabilities that both the framework and this kernel module support, sorted."""
    capabilities = {t.compute_capability for t in types_for(framework) if t.driver == driver}
    return sorted(capabilities, key=lambda text: [int(part) for part in text.split(".")])


def families_for(framework: str) -> list[str]:
    """The families with a type that runs the framework, in the catalog's order."""
    return list(dict.fromkeys(t.family for t in gpu_types().values() if not t.obstacle(framework)))
