"""A comparison of records: a row for each number of GPUs of each record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gpustation.bench.record import Number, Record, Training

if TYPE_CHECKING:
    from rich.console import Console

COLUMNS = (
    *("machine", "GPUs", "framework", "images/s", "+-", "TFLOP/s", "efficiency"),
    *("images/USD", "fp32", "tf32", "bf16", "GB/s", "all-reduce"),
)
"""Rates of the training, then of one device: matrix products in TFLOP/s, and memory; then of the
bus between all GPUs."""
PRECISIONS = ("fp32", "tf32", "bf16")
BAR_WIDTH = 40


def rows(records: Sequence[Record]) -> list[tuple[object, ...]]:
    """The cells of the table, without the columns' names."""
    return [_row(record, training) for record in records for training in record.training]


def document(records: Sequence[Record]) -> dict[str, Any]:
    """The comparison as JSON data; what is unknown is ``null``."""
    return {
        "compared": [
            {
                "machine": record.name,
                "device": record.device,
                "framework": record.framework,
                "measured": record.measured,
                "gpus": training.gpus,
                "precision": training.precision,
                "images_per_s": vars(training.images_per_s),
                "tflop_per_s": vars(training.tflop_per_s),
                "scaling_efficiency": _rounded(record.efficiency(training), 4),
                "images_per_usd": _rounded(record.images_per_usd(training), 1),
                "all_reduce_bus_gb_per_s": (found := _bus(record, training)) and vars(found),
                "usd_per_hour": record.usd_per_hour,
                "price_origin": record.price_origin or None,
            }
            for record in records
            for training in record.training
        ]
    }


def labels(records: Sequence[Record]) -> list[tuple[str, Number]]:
    """A label for each training, with its images per second.

    With the framework, and then the time of the measurement, where labels would be the same.
    """
    trainings = [(record, training) for record in records for training in record.training]

    def label(record: Record, training: Training, *more: str) -> str:
        return " ".join((record.name, *([f"x{training.gpus}"] if training.gpus else []), *more))

    forms = (
        [label(*each) for each in trainings],
        [label(*each, each[0].framework) for each in trainings],
        [label(*each, each[0].framework, each[0].measured) for each in trainings],
    )
    names = next((form for form in forms if len({*form}) == len(form)), forms[-1])
    return [(name, each[1].images_per_s) for name, each in zip(names, trainings, strict=True)]


def draw_bars(records: Sequence[Record], console: Console) -> None:
    """Print the images per second as bars."""
    from rich.bar import Bar
    from rich.markup import escape
    from rich.table import Table

    from gpustation.console.shown_text import visible

    bars = labels(records)
    longest = max(number.median for _, number in bars)
    table = Table.grid(padding=(0, 2))
    for label, number in bars:
        bar = Bar(longest, 0, number.median, width=BAR_WIDTH)
        table.add_row(escape(visible(label)), bar, f"{number.median:.1f} images/s")
    console.print(table)


def _row(record: Record, training: Training) -> tuple[object, ...]:
    efficiency, per_usd = record.efficiency(training), record.images_per_usd(training)
    products = (record.products.get(precision) for precision in PRECISIONS)
    bus = _bus(record, training)
    return (
        record.name,
        training.gpus,
        record.framework,
        f"{training.images_per_s.median:.1f}",
        f"{training.images_per_s.spread:.1%}",
        f"{training.tflop_per_s.median:.2f}",
        None if efficiency is None else f"{efficiency:.0%}",
        None if per_usd is None else f"{per_usd:.0f}",
        *(None if number is None else f"{number.median:.2f}" for number in products),
        f"{record.memory_gb_per_s.median:.1f}",
        None if bus is None else f"{bus.median:.1f}",
    )


def _bus(record: Record, training: Training) -> Number | None:
    """Bandwidth of the all-reduce, in the row of the GPUs that it was measured with."""
    known = record.all_reduce
    return known.bus_gb_per_s if known and known.gpus == training.gpus else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
