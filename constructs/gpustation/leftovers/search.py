"""What every kind's search shares: where to ask, what is ours, and whether a stack owns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gpustation.leftovers.account import Account
from gpustation.leftovers.ours import Names
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

    def left(self, tags: Mapping[str, str], *ids: str, name: str = "", part_of: str = "") -> str:
        """Why a thing is a leftover of ours; empty when it is another's or a stack's.

        Args:
            tags: Its tags.
            *ids: Every id by which a stack may know it, or what it is a part of.
            name: Its name, where that tells whose it is.
            part_of: Why it is ours whatever its tags say.
        """
        ours = self.names.reason(tags, name) or part_of
        if not ours or self.stacks.owns(tags, *ids):
            return ""
        return f"{ours}; {self.stacks.fate(tags)}"
