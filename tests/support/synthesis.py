"""Templates of the real stacks, synthesized once per process and set of settings."""

import functools
import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Stack, Stage
from aws_cdk.assertions import Template

from gpustation import read_settings
from gpustation.catalog.names import (
    ACCEPTANCE_ROLE,
    DEPLOY_ROLE,
    IMAGE,
    WORKSTATION,
    stack_name,
)
from stacks.base import SCRIPTS
from stacks.gpu_acceptance_role_stack import GpuAcceptanceRoleStack
from stacks.gpu_deploy_role_stack import GpuDeployRoleStack
from stacks.gpu_image_stack import GpuImageStack
from stacks.gpu_workstation_stack import GpuWorkstationStack
from tests.support.template_graph import TemplateGraph, actions, statements

ROOT = Path(__file__).parents[2]
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N me@example"
)


def make_app(
    *,
    outdir: str | None = None,
    scripts: Path | None = None,
    validate: bool = False,
    with_stages: bool = True,
    **settings: Any,
) -> App:
    """The app as ``app.py`` makes it, with the context of cdk.json, which App() does not read.

    Args:
        outdir: Folder of the cloud assembly. Default: a temporary one.
        scripts: The machine's scripts. Default: those of the project.
        validate: Run the built-in validation, which takes seconds once per process.
        with_stages: As in ``app.py``; without the stages it is faster.
        **settings: Context on top of cdk.json's.
    """
    app = _empty_app(outdir, validate, settings)
    report = read_settings(app.node.get_all_context())
    scripts, name = scripts or SCRIPTS, report.settings.name
    GpuWorkstationStack(app, stack_name(WORKSTATION, name), report=report, scripts=scripts)
    if with_stages:
        stage, image = Stage(app, "Image"), stack_name(IMAGE, name)
        GpuImageStack(stage, image, report=report, scripts=scripts, stack_name=image)
        ci = Stage(app, "Ci")
        GpuDeployRoleStack(ci, DEPLOY_ROLE, report=report, stack_name=DEPLOY_ROLE)
        GpuAcceptanceRoleStack(ci, ACCEPTANCE_ROLE, report=report, stack_name=ACCEPTANCE_ROLE)
    return app


def _empty_app(outdir: str | None, validate: bool, settings: dict[str, Any]) -> App:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    return App(
        context=context | settings,
        outdir=outdir,
        builtin_cloud_formation_validation=validate,
        stack_traces=False,
    )


@functools.cache
def _template(settings: str) -> Template:
    given = json.loads(settings)
    app = make_app(with_stages=False, **given)
    stack = app.node.find_child(stack_name(WORKSTATION, given.get("name", "")))
    assert isinstance(stack, GpuWorkstationStack)
    return Template.from_stack(stack)


@functools.cache
def _image_template(settings: str, scripts: Path | None) -> Template:
    given = json.loads(settings)
    app = make_app(scripts=scripts, **given)
    stack = app.node.find_child("Image").node.find_child(stack_name(IMAGE, given.get("name", "")))
    assert isinstance(stack, Stack)
    return Template.from_stack(stack)


@functools.cache
def _role_template(stack_name: str, settings: str) -> Template:
    """Without the other stacks, whose synthesis takes most of the time."""
    app = _empty_app(None, False, json.loads(settings))
    report = read_settings(app.node.get_all_context())
    make = {DEPLOY_ROLE: GpuDeployRoleStack, ACCEPTANCE_ROLE: GpuAcceptanceRoleStack}[stack_name]
    return Template.from_stack(
        make(Stage(app, "Ci"), stack_name, report=report, stack_name=stack_name)
    )


def synthesize(**settings: Any) -> Template:
    """Template of the workstation with these settings; made once per process."""
    return _template(json.dumps(settings, sort_keys=True))


def synthesize_image(*, scripts: Path | None = None, **settings: Any) -> Template:
    """Template of the image with these settings, and other scripts if any."""
    return _image_template(json.dumps(settings, sort_keys=True), scripts)


def synthesize_role(**settings: Any) -> Template:
    """Template of the deploy role with these settings."""
    return _role_template(DEPLOY_ROLE, json.dumps(settings, sort_keys=True))


def synthesize_acceptance_role(**settings: Any) -> Template:
    """Template of the role of acceptance runs with these settings."""
    return _role_template(ACCEPTANCE_ROLE, json.dumps(settings, sort_keys=True))


def component_data(template: Template) -> str:
    """The component's document, with references in place of their values."""
    data = resource(template, "AWS::ImageBuilder::Component")["Properties"]["Data"]
    return "".join(
        part if isinstance(part, str) else next(iter(part.values())) for part in data["Fn::Join"][1]
    )


def resource(template: Template, resource_type: str) -> dict[str, Any]:
    """The only resource of this type."""
    (only,) = template.find_resources(resource_type).values()
    return dict(only)


def machine_settings(template: Template) -> dict[str, Any]:
    """The parameter with the machine's settings; the other one is its report."""
    parameters = template.find_resources("AWS::SSM::Parameter")
    (only,) = (row for name, row in parameters.items() if "MachineSettings" in name)
    return dict(only)


def actions_of(template: Template, policy_prefix: str) -> dict[str, Any]:
    """Resources of each action that the policies allow whose logical ids have this prefix."""
    allowed: dict[str, Any] = {}
    for logical_id, policy in TemplateGraph(template.to_json()).of_type("AWS::IAM::Policy").items():
        if logical_id.startswith(policy_prefix):
            for statement in statements(policy):
                assert statement["Effect"] == "Allow"
                allowed |= dict.fromkeys(actions(statement), statement["Resource"])
    return allowed


def user_data(template: Template) -> str:
    """The user data as bash, with references in place of their values."""
    encoded = resource(template, "AWS::EC2::Instance")["Properties"]["UserData"]["Fn::Base64"]
    parts = encoded["Fn::Join"][1]
    return "".join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
