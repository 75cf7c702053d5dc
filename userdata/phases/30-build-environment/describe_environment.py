"""Prints what an environment consists of, from the metadata of its packages.

Nothing is imported: MXNet's GPU wheel cannot even be imported before the driver works.
"""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

FRAMEWORKS = {
    "mxnet": ("MXNet", ("mxnet-cu112", "mxnet"), "nvidia-cuda-runtime-cu11"),
    "pytorch": ("PyTorch", ("torch",), "nvidia-cuda-runtime"),
}


def first_version(*packages: str) -> str | None:
    """Return the version of the first of these packages that is installed."""
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
