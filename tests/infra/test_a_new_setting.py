"""What a new setting takes: one row. In a copy of the project, as a person would add it.

It costs seconds, for the copy is loaded by a Python of its own: the model is made at import.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = "tests/fixtures/release-0.1.0/GpuWorkstation.template.json"
ROW = """
    tenancy: str = _setting(
        "shared",
        lambda value: values.one_of(value, ("shared", "dedicated")),
        Row(
            "whose hardware it runs on: `shared` or `dedicated`",
            When.NEW_GENERATION,
            "dedicated",
        ),
    )
"""
ASK = """
import json, sys
from aws_cdk import App
from aws_cdk.assertions import Template
from gpustation import read_settings
from gpustation.handlers.image_choice import Choice, require_same_settings
from gpustation.handlers.responder import RefusedError
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.judgement import plan_of_changes
from gpustation.settings.table import markdown
from stacks.gpu_workstation_stack import GpuWorkstationStack

def made(**context):
    app = App(context=context, builtin_cloud_formation_validation=False)
    stack = GpuWorkstationStack(app, "GpuWorkstation", report=read_settings(context))
    return Template.from_stack(stack).to_json()

def choice(template):
    (found,) = (
        one["Properties"] for one in template["Resources"].values()
        if one["Type"] == "Custom::ImageChoice"
    )
    return found

old, new = made(), made(tenancy="dedicated")
older = json.loads(open(sys.argv[1]).read())
stack = SynthesizedStack("GpuWorkstation", new, {}, "", "")
machines = {
    "has it": Choice("ami-1", "/dev/sda1", "us-east-1a", {"tenancy": "shared"}),
    "is older": Choice("ami-1", "/dev/sda1", "us-east-1a", {"Framework": "mxnet"}),
}
refusals = {}
for name, machine in machines.items():
    require_same_settings(machine, choice(old))
    try:
        require_same_settings(machine, choice(new))
    except RefusedError as refusal:
        refusals[name] = str(refusal)
print(json.dumps({
    "table": markdown(),
    "faults": read_settings({"tenancy": "mine"}).faults,
    "plan": [str(one) for one in plan_of_changes(stack, None, old).settings],
    "older": [str(one) for one in plan_of_changes(stack, None, older).settings],
    "refusals": refusals,
}))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the project with that row answers."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("constructs", "stacks", "userdata"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    model = folder / "constructs/gpustation/settings/model.py"
    text = model.read_text()
    assert text.count("    notebooks: bool = _setting(") == 1
    model.write_text(
        text.replace("    notebooks: bool = _setting(", ROW + "    notebooks: bool = _setting(")
    )
    done = subprocess.run(
        [sys.executable, "-c", ASK, ROOT / RELEASE],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder / 'constructs'}:{folder}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_in_the_table(answers: dict[str, Any]) -> None:
    line = "| `tenancy` | `shared` | whose hardware it runs on: `shared` or `dedicated` |"
    assert f"{line} new generation |" in answers["table"].splitlines()


def test_a_wrong_value_is_refused(answers: dict[str, Any]) -> None:
    assert answers["faults"] == ["tenancy=mine: must be one of shared, dedicated"]


def test_a_plan_names_it(answers: dict[str, Any]) -> None:
    assert answers["plan"] == ["tenancy: shared -> dedicated (needs a new machine)"]


def test_a_plan_claims_no_value_for_a_stack_that_is_older(answers: dict[str, Any]) -> None:
    assert "tenancy: unknown -> dedicated (needs a new machine)" in answers["older"]


@pytest.mark.parametrize("machine", ["has it", "is older"])
def test_it_is_locked_to_the_machine(answers: dict[str, Any], machine: str) -> None:
    begin = "tenancy=dedicated (the machine has shared) needs a new machine"
    assert answers["refusals"][machine].startswith(begin)
