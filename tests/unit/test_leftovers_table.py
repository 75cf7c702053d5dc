"""docs/leftovers.md has the table and the permissions that follow from the rows of the kinds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import boto3
import pytest

from gpustation.leftovers.account import Account
from gpustation.leftovers.kind import Kind
from gpustation.leftovers.table import KINDS

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "constructs" / "gpustation" / "leftovers"
PAGE = (ROOT / "docs" / "leftovers.md").read_text()
HEAD = "| kind | USD per month | removed by | read with |\n|---|---|---|---|"


@pytest.fixture(scope="module")
def account() -> Account:
    return Account(boto3.session.Session(), "us-east-1")


def table(account: Account) -> str:
    lines = [HEAD]
    for kind in KINDS:
        action = account.action(kind.lists.service, kind.lists.operation)
        lines.append(
            f"| {kind.name} | {kind.special.price or 'free'} | `aws {kind.removal}` | `{action}` |"
        )
    return "\n".join(lines)


def policy(account: Account) -> str:
    calls = {call for kind in KINDS for call in kind.calls}
    statement = {
        "Sid": "FindLeftovers",
        "Effect": "Allow",
        "Action": sorted({account.action(call.service, call.operation) for call in calls}),
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def test_the_page_has_the_table_of_kinds(account: Account) -> None:
    expected = table(account)
    assert f"\n{expected}\n" in PAGE, f"paste into docs/leftovers.md:\n{expected}"


def test_the_page_has_the_permissions_of_all_calls(account: Account) -> None:
    expected = policy(account)
    assert f"\n```json\n{expected}\n```\n" in PAGE, f"paste into docs/leftovers.md:\n{expected}"


def test_every_call_of_the_library_belongs_to_a_row() -> None:
    text = "\n".join(path.read_text() for path in LIBRARY.glob("*.py"))
    written = set(re.findall(r'"((?:list|describe|get)_[a-z_]+)"', text))
    assert len(written) > 10
    of_rows = {call.operation for kind in KINDS for call in kind.calls}
    assert written - of_rows == {"get_caller_identity"}, "which needs no permission"


def test_names_of_kinds_are_unique() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_member_that_a_row_names_is_in_the_response(kind: Kind, account: Account) -> None:
    """A member without a value is no error: a misspelt one would lose a name or an age."""
    call = kind.builds.call if kind.builds else kind.lists
    meta = account.client(call.service).meta
    operation = meta.method_to_api_mapping[call.operation]
    shape = meta.service_model.operation_model(operation).output_shape
    for member in (call.member, "Instances") if kind.name == "instance" else (call.member,):
        shape = shape.members[member].member
    named = [kind.id, kind.ignored[0], kind.named, kind.created, kind.removed_by, *kind.other_ids]
    members = {*getattr(shape, "members", {}), *kind.special.added}  # a table is only a name
    assert {name for name in named if name} <= members
    values = "".join(kind.tags.arguments.values()) if kind.tags else ""
    assert {*re.findall(r"{(\w+)}", values)} <= members
    assert kind.tags or members & {"Tags", "TagSet", "tags"} or "_ownership" in vars(kind.special)
