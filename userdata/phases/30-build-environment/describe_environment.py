"""Prints the versions of an environment, from the metadata of its packages.

The framework is not imported, because MXNet's GPU wheel fails to import before the driver works.
"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

FRAMEWORKS = {
    "mxnet": ("MXNet", ("mxnet-cu112", "mxnet"), "nvidia-cuda-runtime-cu11"),
    "pytorch": ("PyTorch", ("torch",), "nvidia-cuda-runtime"),
}


def first_version(*packages: str) -> str | None:
    """Return the version of the first of these packages that is installed; None if none is."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def main() -> None:
    """Print one line."""
    title, packages, runtime = FRAMEWORKS[sys.argv[1]]
    cuda = first_version(runtime)
    libraries = f"CUDA {'.'.join(cuda.split('.')[:2])} libraries" if cuda else "for the CPU"
    python = platform.python_version()
    print(f"{title} {first_version(*packages)}, {libraries}, Python {python}")


if __name__ == "__main__":
    main()
