"""The frameworks and the NVIDIA driver that machines install, and the GPUs that they support."""

from __future__ import annotations

import enum


class Framework(str, enum.Enum):
    """A deep-learning framework that a machine can install."""

    MXNET = "mxnet"
    PYTORCH = "pytorch"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> Framework:
        raise ValueError(f"framework must be one of {', '.join(cls)}, got {value}")


DRIVER_BRANCH = 580
"""NVIDIA driver branch that machines install: long-term support until June 2028."""

ARCHITECTURES = {
    # mxnet-cu112 1.9.1 contains cubins for these architectures and no PTX (cuobjdump, 2026-11-23)
    "mxnet": ("5.0", "6.0", "7.0", "8.0", "8.6"),
    # userdata/locks/pytorch-architectures.json, read from the pinned wheel; a test compares them
    "pytorch": ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0"),
}
"""CUDA architectures in each framework's pinned wheel."""

CUDA = {"mxnet": "11.8", "pytorch": "13.0"}
"""Version of the CUDA runtime in each framework's lock (userdata/locks); a test compares them."""

REACH = {
    "mxnet": "MXNet 1.9.1 has code for 5.0 to 8.9 only",
    "pytorch": "PyTorch 2.14.1 has code for 7.5 to 12.x only",
}
"""``ARCHITECTURES`` in words. A cubin also runs on later minor versions of its major version."""
