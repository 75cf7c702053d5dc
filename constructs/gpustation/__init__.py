"""GPU workstations for deep learning on AWS: CDK constructs, settings and the GPU catalog.

Names are loaded at their first use: the CDK starts Node.js, which the commands do not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpustation.deploy_role import DeployRole
    from gpustation.gpu_instance import READY_STEPS, GpuInstance
    from gpustation.gpu_workstation import GpuWorkstation
    from gpustation.image.contents import ImageContents
    from gpustation.image.gpu_image import GpuImage
    from gpustation.image_choice import ImageChoice
    from gpustation.quota_check import QuotaCheck
    from gpustation.ready_signal import ReadySignal
    from gpustation.settings.model import Settings
    from gpustation.settings.read import SettingsReport, read_settings
    from gpustation.workstation_network import WorkstationNetwork

__all__ = [
    "READY_STEPS",
    "DeployRole",
    "GpuImage",
    "GpuInstance",
    "GpuWorkstation",
    "ImageChoice",
    "ImageContents",
    "QuotaCheck",
    "ReadySignal",
    "Settings",
    "SettingsReport",
    "WorkstationNetwork",
    "read_settings",
]

_MODULES = {
    "DeployRole": "deploy_role",
    "GpuImage": "image.gpu_image",
    "GpuInstance": "gpu_instance",
    "GpuWorkstation": "gpu_workstation",
    "READY_STEPS": "gpu_instance",
    "ImageChoice": "image_choice",
    "ImageContents": "image.contents",
    "QuotaCheck": "quota_check",
    "ReadySignal": "ready_signal",
    "Settings": "settings.model",
    "SettingsReport": "settings.read",
    "read_settings": "settings.read",
    "WorkstationNetwork": "workstation_network",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
