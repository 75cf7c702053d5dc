"""The intervals of a spend limit in a DynamoDB table.

Each entry has its own item, and no write undoes what another one knows: a run is opened once, and
its end is replaced only while it is an assumption. So invocations may overlap and be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.catalog.spend_limit import EXPIRES, KEY
from gpustation.catalog.spending import Disk, Ledger, Month, Run

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT_SECONDS = 400 * 86400.0
"""How long ended intervals are kept: a year and a month."""
_CLOSED = "closed"
_OPENED_ONCE = f"attribute_not_exists({KEY})"
_ENDS = {"run": "ended", "disk": "gone"}
_to_item, _from_item = TypeSerializer(), TypeDeserializer()


@dataclass(frozen=True)
class Records:
    """Everything in the table.

    Attributes:
        ledger: The intervals.
        machines: Stored prices of types in USD per hour.
        disk_per_gib: Stored price of a GiB-month; ``None`` if there is none.
        told: Percentages of the limit that were told, by month.
        stops: When a limit last stopped a machine, and which limit in USD, by month.
        closed: The stack is being deleted, so nothing must be done any more.
    """

    ledger: Ledger
    machines: Mapping[str, float]
    disk_per_gib: float | None
    told: Mapping[str, frozenset[int]]
    stops: Mapping[str, tuple[float, float]]
    closed: bool


class SpendLedger:
    """Reads and writes the table.

    Args:
        client: The client.
        table: Name of the table.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def read(self) -> Records:
        """All items, with a consistent read."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._table, ConsistentRead=True
        )
        items = {
            str(row[KEY]): row
            for page in pages
            for row in ({k: _from_item.deserialize(v) for k, v in i.items()} for i in page["Items"])
        }
        runs = [_run(row) for key, row in items.items() if key.startswith("run/")]
        disks = [_disk(row) for key, row in items.items() if key.startswith("disk/")]
        prices = {key.partition("/")[2]: row for key, row in items.items() if _is(key, "price")}
        gib = prices.pop("gp3", None)
        told: dict[str, set[int]] = {}
        for key in items:
            if _is(key, "told"):
                _, month, percent = key.split("/")
                told.setdefault(month, set()).add(int(percent))
        return Records(
            Ledger({run.key: run for run in runs}, {disk.machine: disk for disk in disks}),
            {name: float(row["usd"]) for name, row in prices.items()},
            None if gib is None else float(gib["usd"]),
            {month: frozenset(percents) for month, percents in told.items()},
            {
                key.partition("/")[2]: (float(row["at"]), float(row["limit"]))
                for key, row in items.items()
                if _is(key, "stop")
            },
            _CLOSED in items,
        )

    def write(self, changes: Iterable[Run | Disk]) -> None:
        """Write entries, but for those that another invocation knew better."""
        for change in changes:
            kind = "run" if isinstance(change, Run) else "disk"
            end = _ENDS[kind]
            item = _item_of(change)
            condition = (
                f"attribute_not_exists({end}) OR assumed = :yes" if end in item else _OPENED_ONCE
            )
            values = {":yes": True} if end in item else {}
            self._put(item, condition, values)

    def store_price(self, name: str, usd: float, as_of: str) -> None:
        """Store the price of a type per hour, or of ``gp3`` per GiB-month, with its date."""
        self._put({KEY: f"price/{name}", "usd": usd, "as_of": as_of})

    def claim(self, month: Month, percent: int) -> bool:
        """Note that a percentage is told; false if it was noted before."""
        expires = int(month.end + KEPT_SECONDS)
        return self._put({KEY: f"told/{month}/{percent}", EXPIRES: expires}, _OPENED_ONCE)

    def release(self, month: Month, percents: Iterable[int]) -> None:
        """Forget percentages, so that they are told again."""
        for percent in percents:
            self._client.delete_item(
                TableName=self._table, Key={KEY: {"S": f"told/{month}/{percent}"}}
            )

    def note_stop(self, month: Month, at: float, limit_usd: float) -> None:
        """Note that a limit stopped a machine."""
        expires = int(month.end + KEPT_SECONDS)
        self._put({KEY: f"stop/{month}", "at": at, "limit": limit_usd, EXPIRES: expires})

    def close(self) -> None:
        """Note that the stack is being deleted."""
        self._put({KEY: _CLOSED})

    def _put(
        self, item: Mapping[str, Any], condition: str = "", values: Mapping[str, Any] | None = None
    ) -> bool:
        more: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if values:
            more["ExpressionAttributeValues"] = _serialized(values)
        try:
            self._client.put_item(TableName=self._table, Item=_serialized(item), **more)
        except ClientError as error:
            if error_code(error) != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _is(key: str, kind: str) -> bool:
    return key.startswith(f"{kind}/")


def _serialized(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as DynamoDB writes them; it takes numbers as text."""
    return {
        name: {"N": repr(value)}
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else _to_item.serialize(value)
        for name, value in values.items()
    }


def _item_of(entry: Run | Disk) -> dict[str, Any]:
    end = entry.ended if isinstance(entry, Run) else entry.gone
    item: dict[str, Any] = {"machine": entry.machine, "assumed": entry.assumed}
    if end is not None:
        item[EXPIRES] = int(end + KEPT_SECONDS)
    if isinstance(entry, Run):
        item |= {
            KEY: f"run/{entry.machine}/{int(entry.started)}",
            "started": entry.started,
            "instance_type": entry.instance_type,
            "usd_per_hour": entry.usd_per_hour,
            "address_per_hour": entry.address_per_hour,
        }
        return item | ({} if end is None else {"ended": end})
    item |= {
        KEY: f"disk/{entry.machine}",
        "made": entry.made,
        "usd_per_month": entry.usd_per_month,
    }
    return item | ({} if end is None else {"gone": end})


def _run(row: Mapping[str, Any]) -> Run:
    return Run(
        machine=row["machine"],
        started=float(row["started"]),
        ended=float(row["ended"]) if "ended" in row else None,
        instance_type=row["instance_type"],
        usd_per_hour=float(row["usd_per_hour"]),
        address_per_hour=float(row["address_per_hour"]),
        assumed=row["assumed"],
    )


def _disk(row: Mapping[str, Any]) -> Disk:
    gone = float(row["gone"]) if "gone" in row else None
    return Disk(
        row["machine"], float(row["made"]), gone, float(row["usd_per_month"]), row["assumed"]
    )
