"""Prints what an environment consists of, from the metadata of its packages.

Nothing is imported: MXNet's GPU wheel cannot even be imported before the driver works.
"""

import platform
import sys
from importlib.metadata import version

FRAMEWORKS = {
    "mxnet": ("MXNet", "mxnet-cu112", "nvidia-cuda-runtime-cu11"),
    "pytorch": ("PyTorch", "torch", "nvidia-cuda-runtime"),
}


def main() -> None:
    """Print one line."""
    title, package, runtime = FRAMEWORKS[sys.argv[1]]
    cuda = ".".join(version(runtime).split(".")[:2])
    print(f"{title} {version(package)}, CUDA {cuda} libraries, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
