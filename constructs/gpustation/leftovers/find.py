"""Looks for everything that is left, kind by kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import boto3

from gpustation.aws.session import make_session
from gpustation.leftovers import data, identities, images, machines, network
from gpustation.leftovers.account import Account
from gpustation.leftovers.ours import Names
from gpustation.leftovers.result import KINDS, Leftover, NotChecked, Result
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks


def find_leftovers(
    session: boto3.session.Session | None = None,
    *,
    region: str = "",
    stacks: Iterable[str] = (),
) -> Result:
    """Everything of ours in an account and region that no living stack owns.

    Nothing is changed. A call that fails makes the result incomplete and never shorter in
    silence; without the list of stacks no row is given at all, because a living machine would
    look like one that is left.

    Args:
        session: Credentials. Default: those of the environment, as the CDK CLI finds them.
        region: Region. Default: the session's.
        stacks: Names of more stacks of ours than ``GpuWorkstation``, ``GpuImage``, both with
            ``-<name>``, and ``GpuDeployRole``; needed only for what bears no tag. Default: none.

    Raises:
        ValueError: There is no region.
    """
    session = session or make_session()
    region = region or session.region_name or ""
    if not region:
        raise ValueError("no region: set AWS_REGION or pass --region, e.g. us-east-1")
    account = Account(session, region)
    number = account.ask("sts", "get_caller_identity", "Account")
    names = Names(tuple(stacks))
    living = Stacks(account, names)
    rows: list[Leftover] = []
    if living.known:
        search = Search(account, names, living)
        rows += _whole(account, "stacks", living.leftovers())
        for kinds in (machines, images, network, identities, data):
            rows += _whole(account, kinds.__name__.rpartition(".")[2], kinds.leftovers(search))
        living.note_work()
    rows.sort(key=lambda row: (KINDS.index(row.kind), row.id))
    return Result(number or "", region, tuple(rows), tuple(account.not_checked))


def _whole(account: Account, about: str, rows: Iterator[Leftover]) -> Iterator[Leftover]:
    """The rows; an answer that cannot be read ends them and makes the result incomplete."""
    try:
        yield from rows
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"an answer of AWS could not be read: {error!r}"
        account.note(NotChecked(f"the rest of the {about}", account.region, reason))
