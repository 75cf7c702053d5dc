"""A comparison of records as a picture, by matplotlib, which is an extra."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpustation.bench.compare import labels
from gpustation.bench.record import Record
from gpustation.console.errors import CommandError
from gpustation.console.shown_text import visible
from gpustation.console.statuses import USAGE

INCHES_PER_BAR = 0.4
WIDTH_INCHES = 8.0


def save_picture(records: Sequence[Record], paths: Sequence[Path]) -> None:
    """Write the images per second as bars, with their spread, in the format of each file's name.

    Raises:
        CommandError: matplotlib is not installed, or a file cannot be written.
    """
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
        backend: Any = importlib.import_module("matplotlib")
    except ImportError as error:
        raise CommandError(
            "pictures need matplotlib; install it with: pip install matplotlib", USAGE
        ) from error
    bars = labels(records)
    names = [visible(label) for label, _ in bars]
    medians = [number.median for _, number in bars]
    below = [number.median - number.low for _, number in bars]
    above = [number.high - number.median for _, number in bars]
    # The same bytes every time, and text that can be selected
    with backend.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gpustation"}):
        size = (WIDTH_INCHES, 1.2 + INCHES_PER_BAR * len(bars))
        figure = figures.Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        # By position: two bars may have one name
        places = range(len(bars))
        axes.barh(places, medians, xerr=[below, above], color="#76b900", capsize=3)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlabel("images per second, training ResNet-50 (median, lowest, highest)")
        for path in paths:
            dated = {"Date": None} if path.suffix == ".svg" else {}
            try:
                figure.savefig(path, metadata=dated)
            except OSError as error:
                raise CommandError(f"{path} cannot be written: {error.strerror}") from error
