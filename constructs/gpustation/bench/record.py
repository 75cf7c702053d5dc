"""Records of benchmarks: reading them from files, and the numbers that follow from them.

A record is the document of ``machine_program.py``, to which the command adds the machine and its
price. It may come from somebody else, so that everything in it is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpustation.aws.calls import NOT_UNDERSTOOD
from gpustation.console.errors import CommandError
from gpustation.console.statuses import USAGE

KIND, SCHEMA = "gpustation bench", 1
MAX_BYTES = 1_000_000
"""A record has some kilobytes."""
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Number:
    """A measured rate: the median of repeated runs, with the lowest and the highest."""

    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """Half of the distance from the lowest to the highest, as a share of the median."""
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class Training:
    """Training steps of ResNet-50 on a number of GPUs.

    Attributes:
        gpus: Number of GPUs; 0 on a CPU.
        precision: Precision, in words.
        images_per_s: Images per second of all GPUs together.
        tflop_per_s: What that amounts to in TFLOP/s.
    """

    gpus: int
    precision: str
    images_per_s: Number
    tflop_per_s: Number


@dataclass(frozen=True)
class AllReduce:
    """A sum of one array of each GPU on all of them.

    Attributes:
        gpus: Number of GPUs.
        mebibytes: Size of the array in MiB.
        way: What sums: ``nccl``, or a key-value store of MXNet.
        bus_gb_per_s: Bandwidth of the bus between the GPUs, as nccl-tests defines it.
    """

    gpus: int
    mebibytes: int
    way: str
    bus_gb_per_s: Number


@dataclass(frozen=True)
class Record:
    """The benchmark of a machine.

    Attributes:
        name: What it is called in tables: the type of the machine, or the name of the file.
        device: Name of the GPU or the processor.
        framework: Framework with its version.
        measured: When, in ISO 8601.
        products: TFLOP/s of a matrix product by precision; ``None`` if it was not measured.
        memory_gb_per_s: Memory bandwidth.
        training: Training by number of GPUs, ascending.
        usd_per_hour: Price of the machine; ``None`` if it is unknown.
        price_origin: Source and date of the price; empty if it is unknown.
        all_reduce: All-reduce over several GPUs; ``None`` if it was not measured.
        not_reduced: Why not, in words; empty in records of earlier releases.
    """

    name: str
    device: str
    framework: str
    measured: str
    products: Mapping[str, Number | None]
    memory_gb_per_s: Number
    training: tuple[Training, ...]
    usd_per_hour: float | None
    price_origin: str
    all_reduce: AllReduce | None = None
    not_reduced: str = ""

    def efficiency(self, training: Training) -> float | None:
        """Share of the ideal rate, that of one GPU times their number; ``None`` without that."""
        one = next((each for each in self.training if each.gpus == 1), None)
        if one is None or not training.gpus:
            return None
        return training.images_per_s.median / (one.images_per_s.median * training.gpus)

    def images_per_usd(self, training: Training) -> float | None:
        """Images for one USD, if the machine is used by this training alone."""
        if not self.usd_per_hour:
            return None
        return training.images_per_s.median * _SECONDS_PER_HOUR / self.usd_per_hour


def read_record(path: Path) -> Record:
    """The record in a file.

    Raises:
        CommandError: It cannot be read, or is no record of this version.
    """
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", USAGE) from error
    except ValueError as error:
        raise CommandError(f"{path} is not JSON: no record of `gpustation bench`", USAGE) from error
    try:
        return record_of(document, path.stem)
    except NOT_UNDERSTOOD as error:
        raise CommandError(
            f"{path} is no record of `gpustation bench` of version {SCHEMA} ({error!r})", USAGE
        ) from error


def record_of(document: Any, name: str) -> Record:
    """The record in a document.

    Args:
        document: The JSON document.
        name: What to call it if it does not name the type of the machine.

    Raises:
        ValueError: It is a document of another kind or version.
        KeyError, TypeError: It lacks something.
    """
    if (document["kind"], document["schema"]) != (KIND, SCHEMA):
        raise ValueError("another kind or version")
    framework = document["framework"]
    machine, price = document.get("machine") or {}, document.get("price") or {}
    gpus = document["gpus"]
    device = str(gpus[0]["name"]) if gpus else str(document["host"]["cpu"])
    usd = price.get("usd_per_hour")
    training = [_training(row) for row in document["training"]]
    return Record(
        name=str(machine.get("instance_type") or name),
        device=f"{len(gpus)} x {device}" if gpus else device,
        framework=f"{framework['name']} {framework['version']}",
        measured=str(document["measured"]),
        products={
            str(row["precision"]): _optional(row["tflop_per_s"])
            for row in document["matrix_products"]
        },
        memory_gb_per_s=_number(document["memory"]["gb_per_s"]),
        training=tuple(sorted(training, key=lambda each: each.gpus)),
        usd_per_hour=None if usd is None else float(usd),
        price_origin=f"{price['source']} of {price['as_of']}, {price['region']}" if price else "",
        all_reduce=_all_reduce(document.get("all_reduce") or {}),
        not_reduced=str((document.get("all_reduce") or {}).get("reason", "")),
    )


def _all_reduce(row: Mapping[str, Any]) -> AllReduce | None:
    if not row or row["bus_gb_per_s"] is None:
        return None
    rate = _number(row["bus_gb_per_s"])
    return AllReduce(int(row["gpus"]), int(row["bytes"]) >> 20, str(row["way"]), rate)


def _training(row: Mapping[str, Any]) -> Training:
    return Training(
        int(row["gpus"]),
        str(row["precision"]),
        _number(row["images_per_s"]),
        _number(row["tflop_per_s"]),
    )


def _optional(row: Any) -> Number | None:
    return None if row is None else _number(row)


def _number(row: Mapping[str, Any]) -> Number:
    number = Number(float(row["median"]), float(row["low"]), float(row["high"]), int(row["runs"]))
    if not 0 < number.low <= number.median <= number.high < float("inf"):
        raise ValueError(f"{row} is no rate with its lowest and highest")
    return number
