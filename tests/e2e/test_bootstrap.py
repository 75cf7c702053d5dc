"""``cdk bootstrap`` itself, which the other tests replace by its template (bootstrap.py).

Only here do the versions of CLI and template meet, as on a new account.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.support.bootstrap import TOOLKIT, bootstrap
from tests.support.cdk_cli import Cdk


def made(aws: LocalAws) -> tuple[dict[str, str], dict[str, str]]:
    """Parameters and outputs of the bootstrap stack."""
    stack: dict[str, Any] = aws.client("cloudformation").describe_stacks(StackName=TOOLKIT)
    (found,) = stack["Stacks"]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    return (
        {row["ParameterKey"]: row["ParameterValue"] for row in found["Parameters"]},
        {row["OutputKey"]: row["OutputValue"] for row in found["Outputs"]},
    )


def test_the_command_makes_what_the_tests_make_by_the_api(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with LocalAws() as theirs, LocalAws() as ours:
        done = Cdk(theirs, tmp_path).run("bootstrap", f"aws://{theirs.account}/{theirs.region}")
        assert done.status == 0
        bootstrap(ours, tmp_path_factory)
        assert made(ours) == made(theirs)
        assert theirs.inventory() == []
