"""Where today's id of each kind of image is published.

A module of its own, without boto3: synth asks it too, and importing boto3 would cost a synth a
quarter of a second.
"""

from __future__ import annotations

from gpustation.catalog.frameworks import CUDA, DRIVER_BRANCH
from gpustation.catalog.gpu_types import capabilities_for

DEFAULT_IMAGE = "ubuntu-24.04"
"""What a new machine starts from where nobody names an image. Another one here changes no machine
that exists."""

_CANONICAL = "/aws/service/canonical/ubuntu/server"
IMAGE_PARAMETERS = {
    # 22.04 is published under ebs-gp2 only, 24.04 under ebs-gp3 (Canonical's parameter tree)
    "ubuntu-22.04": f"{_CANONICAL}/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
    "ubuntu-24.04": f"{_CANONICAL}/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
    "dlami": "/aws/service/deeplearning/ami/x86_64/"
    "base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
}
"""Public SSM parameters that name today's image of each kind."""

FRAMEWORK_TAG = "gpustation:framework"
DRIVER_TAG = "gpustation:driver"
CUDA_TAG = "gpustation:cuda"
CAPABILITIES_TAG = "gpustation:gpu-architectures"
"""Tags of an image of ours. Architectures: compute capabilities of its GPUs, by blanks."""

DATA_VOLUMES_TAG = "gpustation:data-volumes"
"""Device names, by blanks, of the volumes beside the root disk that an image was asked to hold."""

_BAKED = "baked"


def content_tags(framework: str, driver: str) -> dict[str, str]:
    """Tags that say what an image of ours holds, for whoever is about to start a machine from it.

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
    """The image that the stack of this name bakes: ``baked``, or ``baked:<name>``."""
    return f"{_BAKED}:{name}" if name else _BAKED


def is_baked(image: str) -> bool:
    """Whether an image is one that a stack of ours bakes."""
    return image.partition(":")[0] == _BAKED


def bake_command(image: str) -> str:
    """What bakes the image that ``image`` means; that of nobody's name where it is another one."""
    name = image.partition(":")[2] if is_baked(image) else ""
    return (
        f"cdk deploy Image/GpuImage-{name} -c name={name}"
        if name
        else ("cdk deploy Image/GpuImage")
    )


def image_parameter(image: str, framework: str) -> str | None:
    """Name of the SSM parameter that holds the AMI id; ``None`` when the image is an AMI id."""
    if image.startswith("ami-"):
        return None
    if is_baked(image):
        owner = image.partition(":")[2]
        return (
            f"/gpustation/{owner}/image/{framework}"
            if owner
            else (f"/gpustation/image/{framework}")
        )
    return IMAGE_PARAMETERS.get(image, image)
