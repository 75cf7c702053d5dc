"""The disks that images keep: layers between the read-only root and what a machine writes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

VANISHED = 1
"""cp's exit status for a file that went while it was copied, as on a machine that runs."""
Layers = tuple[Path, ...]


class ImageLayers:
    """The layers of every image, the topmost first.

    A machine from an image has the image's layers below its own empty layer, so a launch copies
    nothing. A layer is kept as long as an image or a machine needs it.

    Args:
        folder: Folder of the layers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[str, Layers] = {}

    def of(self, image_id: str) -> Layers:
        """The layers below a machine's own; empty for an image that is not kept here."""
        return self._images.get(image_id, ())

    def copy(self, image_id: str, upper: Path, below: Layers) -> None:
        """Keep a copy of a disk; whiteouts, extended attributes and owners come along.

        Raises:
            subprocess.CalledProcessError: It could not be copied.
        """
        layer = self._new(image_id)
        layer.mkdir()
        self._images[image_id] = (layer, *below)
        command = ["cp", "-a", "--reflink=auto", f"{upper}/.", str(layer)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and not (done.returncode == VANISHED and "No such file" in done.stderr):
            self.drop(image_id)
            done.check_returncode()

    def take(self, image_id: str, upper: Path, below: Layers) -> None:
        """Keep the disk itself of a machine that will not run again."""
        layer = self._new(image_id)
        upper.rename(layer)
        upper.mkdir()
        self._images[image_id] = (layer, *below)

    def lend(self, image_id: str, layer: Path) -> None:
        """Use a folder of another owner as an image's only layer; it is never removed here."""
        self._images[image_id] = (layer,)

    def drop(self, image_id: str) -> None:
        """Forget an image."""
        self._images.pop(image_id, None)

    def sweep(self, in_use: Iterable[Layers]) -> None:
        """Remove every layer that no image and no machine needs."""
        needed = {layer for layers in (*self._images.values(), *in_use) for layer in layers}
        for layer in self._folder.glob("*"):
            if layer not in needed:
                shutil.rmtree(layer, ignore_errors=True)

    def _new(self, image_id: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / image_id
