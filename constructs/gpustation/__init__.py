"""GPU workstations for deep learning on AWS: CDK constructs, settings and the GPU catalog."""

from gpustation.deploy_role import DeployRole
from gpustation.gpu_image import GpuImage
from gpustation.gpu_instance import READY_STEPS, GpuInstance
from gpustation.image_choice import ImageChoice
from gpustation.image_contents import ImageContents
from gpustation.quota_check import QuotaCheck
from gpustation.ready_signal import ReadySignal
from gpustation.settings import Settings, SettingsReport, read_settings
from gpustation.workstation_network import WorkstationNetwork

__all__ = [
    "READY_STEPS",
    "DeployRole",
    "GpuImage",
    "GpuInstance",
    "ImageChoice",
    "ImageContents",
    "QuotaCheck",
    "ReadySignal",
    "Settings",
    "SettingsReport",
    "WorkstationNetwork",
    "read_settings",
]
