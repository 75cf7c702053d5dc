"""The search in one region: leftovers by kind, and whether a stack owns a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from gpustation.aws.calls import NOT_UNDERSTOOD
from gpustation.leftovers.account import Account, tags_of
from gpustation.leftovers.kind import REGIONS, Detail, Kind, Resource, Row
from gpustation.leftovers.ownership import Names, Ownership
from gpustation.leftovers.result import Leftover, NotChecked
from gpustation.leftovers.stacks import Stacks


class Search:
    """One search.

    Args:
        account: The account.
        names: Recognizes our stacks and resources.
        stacks: The region's stacks.
        kinds: The table.
    """

    def __init__(
        self, account: Account, names: Names, stacks: Stacks, kinds: Iterable[Kind]
    ) -> None:
        self.account = account
        self.region = account.region
        self.stacks = stacks
        self._names = names
        self._kinds = {kind.name: kind for kind in kinds}
        self._leftovers: dict[str, list[Leftover]] = {}

    def leftovers(self, name: str) -> list[Leftover]:
        """The leftovers of a kind; a response that cannot be read ends them and is recorded."""
        if name not in self._leftovers:
            rows = self._leftovers[name] = []
            try:
                for resource in self._resources(self._kinds[name]):
                    if row := resource.leftover():
                        rows.append(row)
            except NOT_UNDERSTOOD as error:
                reason = f"a response of AWS could not be read: {error!r}"
                self.account.note(NotChecked(f"the rest of kind {name}", self.region, reason))
        return self._leftovers[name]

    def by_id(self, name: str) -> dict[str, Leftover]:
        """The leftovers of a kind by id."""
        return {row.id: row for row in self.leftovers(name)}

    def certain(self, name: str) -> set[str]:
        """Ids of a kind's leftovers without a doubt."""
        return {row.id for row in self.leftovers(name) if not row.doubt}

    def listed(self, name: str) -> list[Row]:
        """Every resource of a kind, whoever owns it."""
        kind = self._kinds[name]
        return [*kind.special.rows(self, kind)]

    def left(
        self,
        tags: Mapping[str, str],
        *ids: str,
        within: Sequence[str] = (),
        name: str = "",
        part_of: Ownership | None = None,
        made: datetime | None = None,
        everywhere: bool = False,
    ) -> Ownership | None:
        """Why a resource is a leftover of ours; ``None`` if it is another's or has an owner.

        Args:
            tags: Its tags.
            *ids: Every id under which a stack may list it.
            within: Ids of what contains it.
            name: Its name, if CloudFormation or a service may have chosen it.
            part_of: Why it is ours if neither tag nor name prove it.
            made: When it was created, if its name may have been reused since.
            everywhere: Whether a stack of another region may own it.
        """
        why = self._names.ownership(tags, name, lambda: self.stacks.listing(made, *ids))
        if part_of is not None and (why is None or (why.doubt and not part_of.doubt)):
            why = part_of
        if why is None or self.stacks.owns(tags, *ids, within=within):
            return None
        why = why.doubted(self.stacks.doubt(tags))
        why = Ownership(f"{why.reason}; {self.stacks.fate(tags)}", why.doubt)
        if not everywhere:
            return why
        if self._elsewhere is None:
            return None
        for stacks, owns in self.account.each(self._elsewhere, lambda each: each.owns(tags, *ids)):
            stacks.note_work()
            if owns or not stacks.known:
                return None
            why = why.doubted(stacks.doubt(tags))
        return why

    @cached_property
    def _elsewhere(self) -> list[Stacks] | None:
        """The stacks of all other enabled regions; ``None`` if the regions are unknown."""
        rows = self.account.read(*REGIONS)
        if rows is None:
            return None
        regions = sorted({row["RegionName"] for row in rows} - {self.region})
        made = self.account.each(regions, lambda region: Stacks(self.account, self._names, region))
        return [stacks for _, stacks in made]

    def details(
        self, detail: Detail, rows: Iterable[Row], read: Callable[..., Any]
    ) -> Iterator[tuple[Row, Any]]:
        """Every row with the result of a call for it, made by a method of the account."""
        return self.account.each(rows, lambda row: read(*detail.call, **detail.arguments_for(row)))

    def _resources(self, kind: Kind) -> Iterator[Resource]:
        rows = self.listed(kind.name)
        if kind.tags:
            tagged = self.details(kind.tags, rows, self.account.tags)
        else:
            tagged = (
                (row, row.get("Tags") or row.get("TagSet") or row.get("tags")) for row in rows
            )
        for row, tags in tagged:
            yield kind.special(self, kind, row, tags_of(tags))
