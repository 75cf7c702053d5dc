"""``gpustation bench``: measures machines, and compares what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import AsJson, example, exit_statuses

if TYPE_CHECKING:
    from gpustation.bench.record import Record

_STATUSES = {0: "success", 1: "a file could not be written", 2: "usage error, or no record"}
EPILOG = (
    f"{example('gpustation bench compare t4.json a10g.json --svg bench.svg')}\n\n"
    f"{exit_statuses(_STATUSES)}"
)

app = typer.Typer(
    help="Compare records of benchmarks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Compare records of benchmarks."""


@app.command("compare", epilog=EPILOG)
def compare(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE", help="Records of `gpustation bench`.")
    ],
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a picture; needs matplotlib.")
    ] = None,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="As --png, in SVG.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare machines by their records: speed, scaling over GPUs, images per USD.

    On a terminal with a chart.
    """
    for path, suffix in ((png, ".png"), (svg, ".svg")):
        if path and path.suffix != suffix:
            raise typer.BadParameter(f"{path} must end in {suffix}")

    def work() -> int:
        from gpustation.bench.compare import document
        from gpustation.bench.picture import save_picture
        from gpustation.bench.record import read_record

        records = [read_record(path) for path in files]
        pictures = [path for path in (png, svg) if path]
        if pictures:
            save_picture(records, pictures)
        if as_json:
            say_json(document(records))
        else:
            _show(records)
        return 0

    run("bench compare", work)


def _show(records: list[Record]) -> None:
    import sys

    from gpustation.bench.compare import COLUMNS, draw_bars, rows
    from gpustation.console.tables import say_drawn, say_note, say_table
    from gpustation.offers.price import BILL_DECIDES

    say_table(COLUMNS, rows(records), right=COLUMNS[3:])
    if sys.stdout.isatty():
        say_drawn(lambda console: draw_bars(records, console))
    say_note(
        "images/s, TFLOP/s: a training step of ResNet-50; +-: half of the range of the runs; "
        "fp32, tf32, bf16: matrix product in TFLOP/s; GB/s: memory"
    )
    origins = sorted({record.price_origin for record in records if record.price_origin})
    if origins:
        say_note(f"Prices: {'; '.join(origins)}, without tax and discounts; {BILL_DECIDES}.")
