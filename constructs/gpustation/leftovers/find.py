"""Finds all leftovers in a region."""

from __future__ import annotations

from collections.abc import Iterable

import boto3

from gpustation.aws.session import make_session
from gpustation.leftovers.account import Account
from gpustation.leftovers.kind import Kind
from gpustation.leftovers.ownership import Names
from gpustation.leftovers.result import GLOBAL, Leftover, Result
from gpustation.leftovers.search import Search
from gpustation.leftovers.stacks import Stacks
from gpustation.leftovers.table import KINDS


def find_leftovers(
    session: boto3.session.Session | None = None,
    *,
    region: str = "",
    stacks: Iterable[str] = (),
    with_global: bool = True,
) -> Result:
    """Everything of ours in an account and region that no live stack owns. Changes nothing.

    A call that fails makes the result incomplete. If the stacks cannot be read there are no rows
    at all, because the resources of a live stack would look like leftovers.

    Args:
        session: Credentials. Default: those of the environment, as the CDK CLI finds them.
        region: Region. Default: the session's.
        stacks: Names of further stacks of ours, beside ``GpuWorkstation``, ``GpuImage``, both with
            ``-<name>``, ``GpuDeployRole``, and ``GpuAcceptanceRole``; only needed for resources
            without our tag. Default: none.
        with_global: Search IAM too, which has no region. Default: true.

    Raises:
        ValueError: There is no region.
    """
    session = session or make_session()
    region = region or session.region_name or ""
    if not region:
        raise ValueError("no region: set AWS_REGION or pass --region, e.g. us-east-1")
    account = Account(session, region)
    number = account.read("sts", "get_caller_identity", "Account")
    kinds = [kind for kind in KINDS if with_global or not kind.is_global]
    rows = _rows(account, Names(tuple(stacks)), kinds)
    return Result(number or "", region, tuple(rows), tuple(account.not_checked))


def find_again(session: boto3.session.Session, row: Leftover, stacks: Iterable[str]) -> Result:
    """The rows of a leftover's kind, read anew: nothing of the first search is used.

    Args:
        session: Credentials and, for a leftover without a region, the region of the search.
        row: The leftover.
        stacks: As for ``find_leftovers``.
    """
    region = session.region_name if row.region == GLOBAL else row.region
    account = Account(session, region)
    kinds = [kind for kind in KINDS if kind.name == row.kind]
    rows = _rows(account, Names(tuple(stacks)), kinds)
    return Result("", region, tuple(rows), tuple(account.not_checked))


def _rows(account: Account, names: Names, kinds: Iterable[Kind]) -> list[Leftover]:
    here = Stacks(account, names)
    rows: list[Leftover] = []
    if here.known:
        search = Search(account, names, here, KINDS)
        for kind in kinds:
            rows += sorted(search.leftovers(kind.name), key=lambda row: row.id)
        here.note_work()
    return rows
