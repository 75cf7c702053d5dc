"""The image that a machine or an image build starts from."""

from __future__ import annotations

from dataclasses import dataclass

from gpustation.catalog.images import baked_image
from gpustation.settings import values


@dataclass(frozen=True)
class ImageSource:
    """A machine image, resolved when the stack is deployed.

    Attributes:
        name: Value of the setting ``image``.

    Raises:
        ValueError: The name is not a valid value of the setting ``image``.
    """

    name: str

    def __post_init__(self) -> None:
        try:
            values.image(self.name)
        except ValueError as error:
            raise ValueError(f"image={self.name}: {error}") from None

    @classmethod
    def ubuntu_24_04(cls) -> ImageSource:
        """Canonical's newest Ubuntu 24.04."""
        return cls("ubuntu-24.04")

    @classmethod
    def ubuntu_22_04(cls) -> ImageSource:
        """Canonical's newest Ubuntu 22.04."""
        return cls("ubuntu-22.04")

    @classmethod
    def deep_learning_base(cls) -> ImageSource:
        """AWS's newest Deep Learning Base AMI with the open driver, on Ubuntu 22.04."""
        return cls("dlami")

    @classmethod
    def baked(cls, name: str = "") -> ImageSource:
        """The newest image built by the stack ``GpuImage`` or ``GpuImage-<name>``."""
        return cls(baked_image(name))

    @classmethod
    def ami(cls, image_id: str) -> ImageSource:
        """An AMI by its id, such as ``ami-0123456789abcdef0``."""
        if not image_id.startswith("ami-"):
            raise ValueError(f"image_id must begin with ami-, got {image_id}")
        return cls(image_id)

    @classmethod
    def ssm_parameter(cls, name: str) -> ImageSource:
        """The AMI whose id is the value of an SSM parameter; its name begins with a slash."""
        if not name.startswith("/"):
            raise ValueError(f"name must begin with a slash, got {name}")
        return cls(name)
