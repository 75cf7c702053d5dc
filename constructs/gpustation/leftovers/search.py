"""What every kind's search shares: where to ask, what is ours, and whether a stack owns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gpustation.leftovers.account import Account
from gpustation.leftovers.ours import Names, Ownership
from gpustation.leftovers.stacks import Stacks


@dataclass(frozen=True)
class Search:
    """One search in one region.

    Attributes:
        account: Where to ask.
        names: What is ours.
        stacks: What lives.
    """

    account: Account
    names: Names
    stacks: Stacks

    @property
    def region(self) -> str:
        """The region that is searched."""
        return self.account.region

    def left(
        self,
        tags: Mapping[str, str],
        *ids: str,
        within: Sequence[str] = (),
        name: str = "",
        part_of: Ownership | None = None,
        made: datetime | None = None,
    ) -> Ownership | None:
        """Why a thing is a leftover of ours; ``None`` when it is another's or a stack's.

        Args:
            tags: Its tags.
            *ids: Every id by which a stack may know it.
            within: Ids of what it is a part of.
            name: Its name, where that tells whose it is.
            part_of: Why it is ours when it does not say so itself.
            made: When it was made, where something else may have its name by now.
        """
        found = self.names.ownership(tags, name, lambda: self.stacks.listing(made, *ids))
        if part_of is not None and (found is None or (found.doubt and not part_of.doubt)):
            found = part_of
        if found is None or self.stacks.owns(tags, *ids, within=within):
            return None
        doubt = found.doubt or self.stacks.doubt(tags)
        return Ownership(f"{found.reason}; {self.stacks.fate(tags)}", doubt)
