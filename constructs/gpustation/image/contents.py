"""The contents of an image, and the version derived from them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpustation.catalog.frameworks import Framework
from gpustation.catalog.gpu_types import require_type
from gpustation.catalog.images import content_tags
from gpustation.image.component import component_document
from gpustation.image.source import ImageSource
from gpustation.settings import values as setting_values
from gpustation.synth.archives import scripts_tar

DISK_GIB = setting_values.MIN_DISK_GIB
"""Root disk of an image, in GiB: the minimum, as a workstation's disk must not be smaller."""

DISK_MIBPS = 250
"""Disk throughput during the build, in MiB/s. gp3 includes 125 at no extra cost."""

USER = "ubuntu"
"""Default user of Canonical's images, whose home folder contains the notebooks."""


@dataclass(frozen=True)
class ImageContents:
    """Everything that determines the contents of an image.

    Image Builder's components and recipes are immutable, so their version is derived from a hash of
    these attributes: a change creates a new version, and unchanged contents build nothing.

    Attributes:
        name: Name of component and recipe, in lower case as in Image Builder's ARNs.
        scripts: Folder with the machine's scripts, with ``image.sh``.
        instance_type: EC2 GPU type that builds and tests the image.
        framework: Framework to install. Default: MXNet.
        notebooks: Install D2L's notebooks. Default: true.
        cuda_toolkit: Install the CUDA toolkit. Default: false.
        base_image: Image that the build starts from. Default: Ubuntu 24.04.
        python_mirror: URL of a mirror for Python builds. Default: none, uv's own sources.
        tags: Tags of the machines, volumes and images that Image Builder creates. Default: none.
    """

    name: str
    scripts: Path
    instance_type: str
    framework: Framework = Framework.MXNET
    notebooks: bool = True
    cuda_toolkit: bool = False
    base_image: ImageSource = field(default_factory=ImageSource.ubuntu_24_04)
    python_mirror: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def archive(self) -> bytes:
        """Archive of the scripts that the build machine downloads."""
        return scripts_tar(self.scripts)

    def document(self, source: str) -> dict[str, Any]:
        """The component document.

        Args:
            source: S3 URL of the archive.
        """
        return component_document(
            source=source,
            sha256=hashlib.sha256(self.archive).hexdigest(),
            options=[
                *("--framework", self.framework.value, "--user", USER),
                "--notebooks" if self.notebooks else "--no-notebooks",
                "--cuda-toolkit" if self.cuda_toolkit else "--no-cuda-toolkit",
                *(("--python-mirror", self.python_mirror) if self.python_mirror else ()),
            ],
        )

    @property
    def image_tags(self) -> dict[str, str]:
        """Tags of the image that describe its contents; the image choice checks them."""
        driver = require_type(self.instance_type).driver
        return {**content_tags(self.framework, driver), **self.tags}

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the contents, in hex, without the location of the archive."""
        contents = [
            *(self.name, self.instance_type, self.base_image.name, DISK_GIB, DISK_MIBPS),
            self.image_tags,
            self.document("s3://scripts"),
        ]
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    @property
    def version(self) -> str:
        """Semantic version. Image Builder's numbers are limited to 2**30 - 1."""
        return f"1.{int(self.digest[:7], 16)}.{int(self.digest[7:14], 16)}"

    @property
    def number(self) -> int:
        """The version as an integer: the quota check's generation and the subnet's number."""
        return int(self.digest[:14], 16)
