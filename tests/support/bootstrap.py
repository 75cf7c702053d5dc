"""``cdk bootstrap`` in less time: the CLI's own template, deployed by the plain API.

The command itself is run once, in tests/e2e/test_bootstrap.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.support.cdk_cli import CDK
from tests.support.made_once import made_once

TOOLKIT = "CDKToolkit"
PARAMETERS = {"FileAssetsBucketKmsKeyId": "AWS_MANAGED_KEY"}
"""Parameters that the CLI passes and that differ from the template's defaults."""


def bootstrap(aws: LocalAws, folders: pytest.TempPathFactory) -> None:
    """Create the stack that deploys need."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=TOOLKIT,
        TemplateBody=template(folders),
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in PARAMETERS.items()
        ],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=TOOLKIT, WaiterConfig={"Delay": 0.1}
    )


def template(folders: pytest.TempPathFactory) -> str:
    """The CLI's bootstrap template, written once per run of the tests."""
    return made_once(folders, "bootstrap.yaml", _write_template).read_text()


def _write_template(path: Path) -> None:
    shown = subprocess.run(
        [str(CDK), "bootstrap", "--show-template"],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    path.write_text(shown.stdout)
