"""The code of the Lambda functions runs by itself, with the standard library and boto3 alone."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from aws_cdk.assertions import Template

from tests.support.synthesis import make_app

# As in Lambda: the zip first, then boto3; no site packages of an editable install
PROGRAM = """
import sys
sys.path[:0] = [{code!r}, {packages!r}]
for name in ("aws_cdk", "constructs", "jsii"):
    sys.modules[name] = None
import {module}
print({module}.__file__, callable({module}.{function}))
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assembly, code = tmp_path_factory.mktemp("assembly"), tmp_path_factory.mktemp("code")
    make_app(outdir=str(assembly), with_stages=False).synth()
    (archive,) = assembly.glob("asset.*.zip")
    zipfile.ZipFile(archive).extractall(code)
    return code


def entry_points() -> set[str]:
    app = make_app()
    stacks = [*app.node.children[:1], *app.node.find_child("Image").node.children]
    found = [Template.from_stack(stack).find_resources("AWS::Lambda::Function") for stack in stacks]
    return {one["Properties"]["Handler"] for functions in found for one in functions.values()}


def test_each_entry_point_is_found_in_the_code(code: Path) -> None:
    points = entry_points()
    assert len(points) > 1
    for point in sorted(points):
        module, _, function = point.rpartition(".")
        packages = sysconfig.get_paths()["purelib"]
        program = PROGRAM.format(
            code=str(code), packages=packages, module=module, function=function
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
        )
        assert done.stdout == f"{code / module.replace('.', '/')}.py True\n", done.stderr


def test_nothing_else_of_the_library_is_in_the_code(code: Path) -> None:
    names = {path.name for path in (code / "gpustation").iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", "aws", "catalog", "handlers"}
