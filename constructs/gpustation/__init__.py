"""GPU workstations for deep learning on AWS: CDK constructs, settings and the GPU catalog.

How a setting reaches the machine, and how the result returns:

    cdk deploy -c framework=pytorch          or "context" in cdk.json
         |  read_settings                    settings/: one row per setting; errors as annotations
    GpuWorkstationStack                      stacks/: also written into the template's Metadata
         |  constructor argument
    GpuWorkstation, GpuInstance              written into an SSM parameter of the stack
         |  cdk deploy
    the machine, at every boot               userdata/bootstrap reads it, run.sh runs the phases
         |  CloudFormation signal per step
    ReadySignal                              wait condition: the deploy succeeds or fails

Names are imported on first use: importing the CDK starts Node.js, which the command does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpustation.capacity_release import CapacityRelease
    from gpustation.catalog.frameworks import Framework
    from gpustation.catalog.quotas import QuotaMode
    from gpustation.deploy_role import DeployRole
    from gpustation.gpu_instance import READY_STEPS, GpuInstance
    from gpustation.gpu_workstation import GpuWorkstation
    from gpustation.image.contents import ImageContents
    from gpustation.image.gpu_image import GpuImage
    from gpustation.image.source import ImageSource
    from gpustation.image_choice import ImageChoice
    from gpustation.quota_check import QuotaCheck
    from gpustation.ready_signal import ReadySignal
    from gpustation.settings.model import Settings
    from gpustation.settings.read import SettingsReport, read_settings
    from gpustation.workstation_network import WorkstationNetwork

__all__ = [
    "READY_STEPS",
    "CapacityRelease",
    "DeployRole",
    "Framework",
    "GpuImage",
    "GpuInstance",
    "GpuWorkstation",
    "ImageChoice",
    "ImageContents",
    "ImageSource",
    "QuotaCheck",
    "QuotaMode",
    "ReadySignal",
    "Settings",
    "SettingsReport",
    "WorkstationNetwork",
    "read_settings",
]

_MODULES = {
    "CapacityRelease": "capacity_release",
    "DeployRole": "deploy_role",
    "Framework": "catalog.frameworks",
    "GpuImage": "image.gpu_image",
    "GpuInstance": "gpu_instance",
    "GpuWorkstation": "gpu_workstation",
    "READY_STEPS": "gpu_instance",
    "ImageChoice": "image_choice",
    "ImageContents": "image.contents",
    "ImageSource": "image.source",
    "QuotaCheck": "quota_check",
    "QuotaMode": "catalog.quotas",
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
