"""Every kind of resource that is searched: ``kinds.csv``, and what is special about some."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from gpustation.leftovers import callers, data, formation, identities, machines, market, network
from gpustation.leftovers.account import Call
from gpustation.leftovers.kind import Detail, Kind, Resource

SPECIAL = {
    "stack": formation.Stack,
    "change set": formation.ChangeSet,
    "spot request": market.SpotRequest,
    "instance": machines.Instance,
    "capacity reservation": market.CapacityReservation,
    "address": machines.Address,
    "volume": machines.Volume,
    "image": machines.Image,
    "snapshot": machines.Snapshot,
    "network interface": network.Part,
    "internet gateway": network.InternetGateway,
    "route table": network.RouteTable,
    "subnet": network.Part,
    "ssh rule": network.SshRule,
    "security group": network.Part,
    "vpc": network.Vpc,
    "schedule": callers.Schedule,
    "schedule group": callers.ScheduleGroup,
    "rule": callers.Rule,
    "topic": data.Topic,
    "table": data.Table,
    "instance profile": identities.InstanceProfile,
    "role": identities.Role,
    "policy": identities.Policy,
    "OIDC provider": identities.OidcProvider,
    "log group": data.LogGroup,
    "parameter": data.Parameter,
    "bucket": data.BootstrapBucket,
}


def _kind(row: Mapping[str, str]) -> Kind:
    """A row of the file, whose columns have the names of the attributes."""
    lists = Call(*row["lists"].split())
    removal, option, removed_by = row["removal"].rsplit(" ", 2)
    ignored, _, value = row["ignored"].partition("=")
    return Kind(
        name=row["kind"],
        lists=lists,
        id=row["id"],
        removal=removal,
        option=option,
        removed_by=removed_by,
        tags=_detail(lists.service, row["tags"]),
        builds=_detail(lists.service, row["builds"]),
        other_ids=tuple(row["other_ids"].split()),
        named=row["named"],
        created=row["created"],
        reused=row["reused"] == "yes",
        ignored=(ignored, value),
        special=SPECIAL.get(row["kind"], Resource),
    )


def _detail(service: str, text: str) -> Detail | None:
    if not text:
        return None
    operation, member, *arguments = text.split()
    return Detail(Call(service, operation, member), dict(pair.split("=") for pair in arguments))


def _rows() -> csv.DictReader[str]:
    text = (Path(__file__).parent / "kinds.csv").read_text(encoding="utf-8")
    return csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


KINDS = tuple(map(_kind, _rows()))
"""In the order in which they can be removed: whatever uses a resource comes before it."""
