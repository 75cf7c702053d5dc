"""The SSM parameters that hold the id of each kind of image, and the tags of our own images."""

from __future__ import annotations

from gpustation.catalog.frameworks import CUDA, DRIVER_BRANCH
from gpustation.catalog.gpu_types import capabilities_for

DEFAULT_IMAGE = "ubuntu-24.04"
"""Default image of a new machine. Changing it does not affect existing machines."""

_CANONICAL = "/aws/service/canonical/ubuntu/server"
IMAGE_PARAMETERS = {
    # 22.04 is published under ebs-gp2 only, 24.04 under ebs-gp3 (Canonical's parameter tree)
    "ubuntu-22.04": f"{_CANONICAL}/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
    "ubuntu-24.04": f"{_CANONICAL}/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    "dlami": "/aws/service/deeplearning/ami/x86_64/"
    "base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
}
"""Public SSM parameters that hold the id of the newest image of each kind."""

FRAMEWORK_TAG = "gpustation:framework"
DRIVER_TAG = "gpustation:driver"
CUDA_TAG = "gpustation:cuda"
CAPABILITIES_TAG = "gpustation:gpu-architectures"
"""Tags of our images. Architectures: supported compute capabilities, separated by blanks."""

DATA_VOLUMES_TAG = "gpustation:data-volumes"
"""Tag with the device names, separated by blanks, of the data volumes that an image includes on
request."""

_BAKED = "baked"


def content_tags(framework: str, driver: str) -> dict[str, str]:
    """Tags that describe the contents of one of our images; the image choice checks them.

    Args:
        framework: ``mxnet`` or ``pytorch``.
        driver: Kernel module: ``open`` or ``proprietary``.
    """
    suffix = "-open" if driver == "open" else ""
    return {
        FRAMEWORK_TAG: framework,
        DRIVER_TAG: f"{DRIVER_BRANCH}-server{suffix}",
        CUDA_TAG: CUDA[framework],
        CAPABILITIES_TAG: " ".join(capabilities_for(framework, driver)),
    }


def baked_image(name: str = "") -> str:
    """Setting ``image`` for the image of the stack ``GpuImage`` or ``GpuImage-<name>``.

    Args:
        name: The setting ``name``. Default: none.

    Returns:
        ``baked`` or ``baked:<name>``.
    """
    return f"{_BAKED}:{name}" if name else _BAKED


def is_baked(image: str) -> bool:
    """Whether the setting ``image`` means an image built by a stack ``GpuImage``."""
    return image.partition(":")[0] == _BAKED


def bake_command(image: str) -> str:
    """Command that builds the image of the setting ``image``; without a name if it is not baked."""
    name = image.partition(":")[2] if is_baked(image) else ""
    return (
        f"cdk deploy Image/GpuImage-{name} -c name={name}" if name else "cdk deploy Image/GpuImage"
    )


def image_parameter(image: str, framework: str) -> str | None:
    """Name of the SSM parameter that holds the AMI id; ``None`` if the image is an AMI id."""
    if image.startswith("ami-"):
        return None
    if is_baked(image):
        owner = image.partition(":")[2]
        return (
            f"/gpustation/{owner}/image/{framework}" if owner else f"/gpustation/image/{framework}"
        )
    return IMAGE_PARAMETERS.get(image, image)
