"""An image with everything installed, from which a workstation starts in seconds, not minutes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from aws_cdk import Annotations, Size
from constructs import Construct

from gpustation import (
    GpuImage,
    ImageChoice,
    ImageContents,
    QuotaCheck,
    SettingsReport,
    WorkstationNetwork,
)
from gpustation.catalog.images import baked_image
from gpustation.catalog.names import OWNER_TAG
from gpustation.image.contents import DISK_GIB
from stacks.base import SCRIPTS, SettingsStack

SUBNET_PREFIX = 28
"""16 addresses: a build runs one machine at a time, and the VPC has room for 4,095 such subnets."""


class GpuImageStack(SettingsStack):
    """An image with driver, framework and notebooks; a deploy builds it and tests it on a GPU.

    Each version of the image has its own scope, so its base image and zone are chosen once, when
    the version is created. Deploying an unchanged version builds nothing.

    Args:
        scope: A stage, so that bare ``cdk`` commands select only the workstation.
        construct_id: Id of the stack.
        report: The settings. Errors become annotations.
        scripts: The machine's scripts. Default: ``userdata/`` of this project.
        **kwargs: Passed on to ``Stack``, e.g. ``stack_name``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        report: SettingsReport,
        scripts: Path = SCRIPTS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            report=report,
            description="Tested image for GPU workstations",
            **kwargs,
        )
        settings = report.settings
        contents = ImageContents(
            name=f"{_lower_case_name(self.stack_name)}-{settings.framework}",
            scripts=scripts,
            instance_type=settings.build_type,
            framework=settings.framework,
            notebooks=settings.notebooks,
            cuda_toolkit=settings.cuda_toolkit,
            python_mirror=settings.python_mirror,
            tags={OWNER_TAG: self.stack_name},
        )
        check = QuotaCheck(
            self,
            "QuotaCheck",
            instance_type=contents.instance_type,
            framework=contents.framework,
            generation=contents.number,  # only a new version starts a machine
            mode=settings.quota,
        )
        network = WorkstationNetwork(self, "Network")
        version = Construct(self, f"Version{contents.digest[:12]}")
        choice = ImageChoice(
            version,
            "ImageChoice",
            instance_type=contents.instance_type,
            image=contents.base_image,
            framework=contents.framework,
            disk=Size.gibibytes(DISK_GIB),
        )
        choice.node.add_dependency(check)  # report a quota that is too small before other errors
        subnet = network.add_subnet(
            version,
            "Subnet",
            number=contents.number % 4095 + 1,
            availability_zone=choice.availability_zone,
            prefix_length=SUBNET_PREFIX,
        )
        image = GpuImage(
            self,
            "Image",
            contents=contents,
            choice=choice,
            subnet=subnet,
            security_group=network.security_group,
            name=settings.name,
            retain=settings.image_retain,
        )
        if settings.image_retain:
            self._warn_of_retained_images()
        self.add_outputs(
            {
                "ImageId": (image.image_id, "The image that was built and tested"),
                "Parameter": (
                    image.parameter.ref,
                    f"Where image={baked_image(settings.name)} finds its id",
                ),
                "Quota": (check.message, "What the quota check found"),
            }
        )

    def _warn_of_retained_images(self) -> None:
        Annotations.of(self).add_warning_v2(
            "gpustation:imageRetain",
            "image_retain=true: images are never deleted, not even by cdk destroy; the snapshot "
            "of each costs 0.05 USD per GiB-month, so 1 USD or less a month, until you deregister "
            "the image and delete its snapshot",
        )


def _lower_case_name(stack: str) -> str:
    """A unique name in lower case, as Image Builder's ARNs require.

    The hash keeps ``Anna`` and ``anna`` apart: one recipe cannot belong to two stacks.
    """
    kind, _, name = stack.partition("-")
    if name == name.lower():
        return stack.lower()
    return f"{kind}-{name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lower()
