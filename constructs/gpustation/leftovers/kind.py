"""The kinds of resources, and one resource of a kind.

Most kinds differ only in the names that are in their row of ``kinds.csv``. A kind with special
behaviour has a subclass of ``Resource``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from gpustation.catalog.prices import FREE, Cost
from gpustation.leftovers.account import Call, moment
from gpustation.leftovers.commands import chain
from gpustation.leftovers.ownership import BUILDER_TAG, Ownership
from gpustation.leftovers.result import GLOBAL, Leftover, leftover
from gpustation.leftovers.steps import Step

if TYPE_CHECKING:
    from gpustation.leftovers.search import Search

Row = Mapping[str, Any]
"""A resource as its list call returns it."""

REGIONS = Call("ec2", "describe_regions", "Regions")
"""Read to find the owners of resources without a region."""


class Detail(NamedTuple):
    """A call for each resource; in its arguments ``{Name}`` is replaced by the row's ``Name``."""

    call: Call
    arguments: Mapping[str, str]

    def arguments_for(self, row: Row) -> dict[str, str]:
        """The arguments with the row's values."""
        return {name: value.format_map(row) for name, value in self.arguments.items()}


@dataclass(frozen=True)
class Resource:
    """A resource of a kind without anything special.

    Attributes:
        search: The search that listed it.
        kind: Its row in the table.
        row: What the list call returned.
        tags: Its tags.
        arguments: Arguments of the list call.
        reads: The calls that a subclass makes.
        added: Members that ``rows`` adds to what the list call returned.
        price: The price in words, for the documentation; empty if it is free.
    """

    arguments: ClassVar[Mapping[str, Any]] = {}
    reads: ClassVar[tuple[Call, ...]] = ()
    added: ClassVar[tuple[str, ...]] = ()
    price: ClassVar[str] = ""

    search: Search
    kind: Kind
    row: Row
    tags: Mapping[str, str]

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterable[Row]:
        """Every resource of the kind, whoever owns it."""
        rows = search.account.list(*kind.lists, **cls.arguments)
        if kind.builds:
            builds = search.details(kind.builds, rows, search.account.list)
            rows = [row for _, rows_of_version in builds for row in rows_of_version]
        member, value = kind.ignored
        return [row for row in rows if not value or row.get(member) != value]

    @property
    def id(self) -> str:
        """The id that is shown."""
        return str(self.row[self.kind.id])

    @property
    def deletion(self) -> Step:
        """The step that removes it."""
        option = self.kind.option.removeprefix("--").replace("-", "_")
        return self.step(self.kind.removal, **{option: self.row[self.kind.removed_by]})

    def step(self, words: str, **options: str | tuple[str, ...]) -> Step:
        """A step in its region, with the words of the AWS CLI."""
        return Step(words, "" if self.kind.is_global else self.search.region, options)

    def leftover(self) -> Leftover | None:
        """Its row in the result; ``None`` if it is another's or has an owner."""
        why = self._ownership()
        if why is None:
            return None
        for doubt in self._doubts():
            why = why.doubted(doubt)
        steps, created = tuple(self._steps()), moment(self.row.get(self.kind.created))
        return leftover(
            self.kind.name,
            self.id,
            GLOBAL if self.kind.is_global else self.search.region,
            why,
            self._removal(steps),
            created=created,
            cost=self._cost(),
            stays=self._stays(),
            proof=self.search.stacks.proof(self.tags, created),
            steps=steps,
            mentions=json.dumps(self.row, default=str),
        )

    def _ownership(self) -> Ownership | None:
        """Why it is a leftover of ours; ``None`` if it is another's or has an owner."""
        kind, row = self.kind, self.row
        return self.search.left(
            self.tags,
            *self._ids(),
            *(str(row[member]) for member in kind.other_ids),
            within=[self.tags.get(BUILDER_TAG, ""), *self._within()],
            name=row.get(kind.named, ""),
            part_of=self._part_of(),
            made=moment(row.get(kind.created)) if kind.reused else None,
            everywhere=kind.is_global,
        )

    def in_use(self, words: str, kind: str, users: Iterable[str]) -> Iterator[str]:
        """A doubt if something uses it that is no leftover.

        Args:
            words: How the doubt begins, e.g. ``attached to``.
            kind: Kind of the users.
            users: Their ids.
        """
        others = sorted(set(users) - self.search.certain(kind))
        if others:
            yield f"{words} {', '.join(others)}, which is not left"

    # What a subclass may override

    def _ids(self) -> Iterable[str]:
        """Ids under which a stack may list it, beside those of the table."""
        return [self.id]

    def _within(self) -> Iterable[str]:
        """Ids of what contains it: if a stack owns that, it owns this."""
        return ()

    def _part_of(self) -> Ownership | None:
        """Why it is ours if neither tag nor name prove it."""
        return None

    def _doubts(self) -> Iterable[str]:
        """Why to look at it before removing it; the first counts."""
        return ()

    def _stays(self) -> str:
        """Why it is kept on purpose; empty for a leftover."""
        return ""

    def _cost(self) -> Cost:
        """Its cost per month."""
        return 0.0, FREE

    def _steps(self) -> Iterable[Step]:
        """The steps that remove it, one after another."""
        return [self.deletion]

    def _removal(self, steps: Iterable[Step]) -> str:
        """The steps as one line to paste."""
        return chain(*(step.command for step in steps))


@dataclass(frozen=True)
class Kind:
    """How one kind of resource is listed, recognized and removed.

    Attributes:
        name: Its name in results and in the documentation.
        lists: The call that lists it.
        id: Member of a resource with the id that is shown.
        removal: AWS CLI operation that removes it.
        option: Option of that operation for the resource.
        removed_by: Member with the option's value.
        tags: Reads the tags. ``None``: they are in the list.
        builds: Lists the builds of each resource, which are searched instead of it.
        other_ids: Members with further ids under which a stack may list it.
        named: Member with a name that CloudFormation or a service may have chosen.
        created: Member with the time of creation.
        reused: Whether its name may have been reused since a stack was deleted, so that the stack's
            list is no proof for what was created later.
        ignored: Member and value of resources that are AWS's own or are deleted automatically.
        special: What differs from other kinds.
    """

    name: str
    lists: Call
    id: str
    removal: str
    option: str
    removed_by: str
    tags: Detail | None
    builds: Detail | None
    other_ids: tuple[str, ...]
    named: str
    created: str
    reused: bool
    ignored: tuple[str, str]
    special: type[Resource]

    @property
    def is_global(self) -> bool:
        """Whether it belongs to no region."""
        return self.lists.service == "iam"

    @property
    def calls(self) -> list[Call]:
        """Every call that its search makes."""
        details = [detail.call for detail in (self.builds, self.tags) if detail]
        regions = [REGIONS] if self.is_global else []
        return [self.lists, *details, *self.special.reads, *regions]
