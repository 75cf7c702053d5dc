"""``gpustation bench``: measures machines, and compares what was measured."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpustation.cli.ending import run, say_json
from gpustation.cli.options import (
    AsJson,
    Name,
    Region,
    Stack,
    Yes,
    epilog,
    example,
    exit_statuses,
)
from gpustation.cli.selecting import named, selected
from gpustation.cli.ssh import Start, running_machine
from gpustation.console.errors import CommandError
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING, NO_CAPACITY, TIMED_OUT

if TYPE_CHECKING:
    from gpustation.bench.record import Record

_STATUSES = {0: "success", 1: "a file could not be written", 2: "usage error, or no record"}
EPILOG = (
    f"{example('gpustation bench compare t4.json a10g.json --svg bench.svg')}\n\n"
    f"{exit_statuses(_STATUSES)}"
)
RUN_EPILOG = epilog("gpustation bench --gpus 1,2,4", FINDING, NO_CAPACITY, TIMED_OUT)
SECONDS = 3600.0
"""How long the measurements may take; on a GPU they take some minutes."""

app = typer.Typer(rich_markup_mode=None)


def gpu_counts(text: str) -> tuple[int, ...]:
    """Numbers of GPUs in a text such as ``1,2,4``.

    Raises:
        typer.BadParameter: It has another form.
    """
    if not re.fullmatch(r"[1-9]\d?(,[1-9]\d?)*", text):
        raise typer.BadParameter(f"{text!r} is not numbers of GPUs such as 1,2,4")
    return tuple(sorted({int(number) for number in text.split(",")}))


@app.callback(invoke_without_command=True, epilog=RUN_EPILOG)
def bench(
    context: typer.Context,
    gpus: Annotated[
        Any,
        typer.Option(
            parser=gpu_counts,
            metavar="N,N",
            help="Numbers of GPUs to train on. Default: powers of two, and all.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer and smaller measurements, to try it.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Record to write. Default: bench-TYPE-TIME.json here."),
    ] = None,
    start: Start = False,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Measure the machine's GPUs, or its processor if it has none, and keep a record.

    Matrix products, memory, a training step of ResNet-50, and an all-reduce over several GPUs, by
    ssh. Other work on the machine disturbs the numbers.
    """
    if context.invoked_subcommand:
        return
    stack = named(name, stack)

    def work() -> int:
        from gpustation.access.connection import connect
        from gpustation.access.shell import executor
        from gpustation.aws.session import make_session
        from gpustation.bench import remote
        from gpustation.bench.record import record_of

        session = make_session(region)
        workstation = selected(session.client("cloudformation"), stack)
        machine = running_machine(session, workstation, start, yes)
        connection = connect(session, workstation.stack, machine, note=warn)
        warn(f"measuring {machine.instance_id} ({machine.instance_type}), some minutes")
        execute = executor(connection, SECONDS)
        document = remote.measure(execute, machine.instance_type, gpus or (), quick=quick)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = output or Path(f"bench-{machine.instance_type}-{stamp}.json")
        _write(path, document)
        if as_json:
            say(json.dumps(document, indent=2))
        else:
            _show([record_of(document, str(path))])
        warn(f"the record is {path}; next: gpustation bench compare {path} OTHER")
        return 0

    run("bench", work)


def _write(path: Path, document: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


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
        "fp32, tf32, bf16: matrix product in TFLOP/s; GB/s: memory; all-reduce: bus between the "
        "GPUs in GB/s, 2 (n - 1) / n of what nccl-tests calls algbw"
    )
    for record in records:
        on_gpus = any(training.gpus for training in record.training)
        kind = "" if on_gpus else "no GPU, the processor was measured: "
        say_note(f"{record.name}: {kind}{record.device}{_reduced(record)}")
    origins = sorted({record.price_origin for record in records if record.price_origin})
    if origins:
        say_note(f"Prices: {'; '.join(origins)}, without tax and discounts; {BILL_DECIDES}.")


def _reduced(record: Record) -> str:
    """What is to say of the all-reduce, as the end of a sentence."""
    known = record.all_reduce
    if known is not None:
        return f"; all-reduce of {known.mebibytes} MiB over {known.gpus} by {known.way}"
    return f"; all-reduce not measured: {record.not_reduced}" if record.not_reduced else ""
