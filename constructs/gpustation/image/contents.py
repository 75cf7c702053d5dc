"""What an image is made of, and the version that follows from it."""

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
"""Root disk of an image: the least, because no workstation's disk may be smaller than it."""

DISK_MIBPS = 250
"""Throughput of the disk while it is built; 125 is gp3's own, and what a disk costs nothing for."""

USER = "ubuntu"
"""Whose home folder gets notebooks: the user of Canonical's images."""


@dataclass(frozen=True)
class ImageContents:
    """Everything that makes one image another than the last.

    Component, recipe and their version cannot be changed once they exist, so the version follows
    from a hash of all of this: other contents are another version, and the same are no change.

    Attributes:
        name: Name of component and recipe, in small letters: Image Builder's ARNs have no others.
        scripts: Folder with the machine's scripts, ``image.sh`` among them.
        instance_type: EC2 GPU type that builds and tests the image.
        framework: Framework that is installed. Default: MXNet.
        notebooks: D2L's notebooks are in the image.
        cuda_toolkit: The CUDA toolkit is in the image.
        base_image: Image that the build starts from. Default: Ubuntu 24.04.
        python_mirror: Where the build machine's Python comes from; empty means uv's own sources.
        tags: Tags of what Image Builder makes: machines, volumes, image.
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
        """The scripts as the build machine downloads them."""
        return scripts_tar(self.scripts)

    def document(self, source: str) -> dict[str, Any]:
        """The component's document, with the address of the archive."""
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
        """Tags of the image: what is in it, for whoever is about to start a machine from it."""
        driver = require_type(self.instance_type).driver
        return {**content_tags(self.framework, driver), **self.tags}

    @functools.cached_property
    def digest(self) -> str:
        """Hash of the contents, in hex; where the archive lies is none of them."""
        contents = [
            *(self.name, self.instance_type, self.base_image.name, DISK_GIB, DISK_MIBPS),
            self.image_tags,
            self.document("s3://scripts"),
        ]
        return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()

    @property
    def version(self) -> str:
        """Semantic version; Image Builder's numbers go up to 2**30 - 1."""
        return f"1.{int(self.digest[:7], 16)}.{int(self.digest[7:14], 16)}"

    @property
    def number(self) -> int:
        """The version as one number, for what tells one machine from the next by a number."""
        return int(self.digest[:14], 16)
