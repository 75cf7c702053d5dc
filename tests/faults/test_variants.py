"""Every variant of the stacks is created, changed and destroyed, and fails where it can.

The default variant is tested in the other files of this folder, and with the CDK CLI in tests/e2e.

Each test runs CloudFormation's whole operation, which a template alone does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localaws import LocalAws
from tests.faults.conftest import MakeStack
from tests.faults.outcome import assert_no_machine_runs
from tests.support.assembly import IMAGE, ROLE, WORKSTATION, assemble
from tests.support.probe_stack import G_QUOTA, UBUNTU, Stack
from tests.support.synthesis import PUBLIC_KEY

BAKED_PARAMETER = "/gpustation/image/mxnet"
OWN_IMAGE = "ami-0123456789abcdef0"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "own-key": (WORKSTATION, {"public_key": PUBLIC_KEY}),
    "ssh": (WORKSTATION, {"ssh_cidr": "203.0.113.7/32,198.51.100.0/24"}),
    "ubuntu-24.04": (WORKSTATION, {"image": "ubuntu-24.04"}),
    "dlami": (WORKSTATION, {"image": "dlami", "disk_gib": 100}),
    "ami": (WORKSTATION, {"image": OWN_IMAGE}),
    "ssm-parameter": (WORKSTATION, {"image": UBUNTU}),
    "baked": (WORKSTATION, {"image": "baked"}),
    "pytorch": (WORKSTATION, {"framework": "pytorch"}),
    "image": (IMAGE, {}),
    "image-pytorch": (IMAGE, {"framework": "pytorch"}),
    "role": (ROLE, {"github_repository": "octo-org/octo-repo"}),
}
CHANGE: dict[str, dict[str, Any]] = {
    WORKSTATION: {"notebooks": False},
    IMAGE: {"notebooks": False},
    ROLE: {"github_environment": "staging"},
}
"""In place for a workstation and the role; another image."""
Break = Callable[[LocalAws], None]
BEFORE_A_MACHINE: dict[str, tuple[Break, str]] = {
    "quota": (lambda aws: aws.control.set_quota(G_QUOTA, 3), "quota too small"),
    "choice": (lambda aws: aws.control.fault("DescribeImages", "missing"), "DescribeImages: "),
    "machine": (
        # Others take what was held
        lambda aws: (
            aws.control.take_slots(),
            aws.control.set_capacity("g4dn.xlarge", False, use="launch"),
        ),
        "do not have sufficient g4dn.xlarge capacity",
    ),
}
BREAKS: dict[str, dict[str, tuple[Break, str]]] = {
    # how the account is broken, and what the person reads
    WORKSTATION: {
        **BEFORE_A_MACHINE,
        "driver": (
            lambda aws: aws.control.machine_fault({"modprobe": {"exit": 1, "stderr": "none"}}),
            "phase driver failed",
        ),
    },
    IMAGE: {
        **BEFORE_A_MACHINE,
        "build": (
            lambda aws: aws.control.machine_fault({"bash": {"exit": 1, "stderr": "no space"}}),
            "phase build, step",
        ),
    },
    ROLE: {},  # no checks and no waits; test_creation_fails.py fails its resources in turn
}
LIVED_IN_MAKE_TEST = ("baked", "image")
"""A machine and an image; the others differ by a value that unit tests of the handlers cover."""
BROKEN_IN_MAKE_TEST = ("own-key", "machine")
"""One of them, as the faults do not depend on the variant."""


def _lives() -> Iterator[Any]:
    for variant in VARIANTS:
        marks = () if variant in LIVED_IN_MAKE_TEST else (pytest.mark.tier("all"),)
        yield pytest.param(variant, marks=marks)


def _faults() -> Iterator[Any]:
    for variant, (stack, _) in VARIANTS.items():
        for kind in BREAKS[stack]:
            marks = () if (variant, kind) == BROKEN_IN_MAKE_TEST else (pytest.mark.tier("all"),)
            yield pytest.param(variant, kind, marks=marks)


@pytest.fixture(autouse=True)
def account(aws: LocalAws, stack: MakeStack) -> Iterator[None]:
    """Another owner's image, also used as the baked one; its parameter is deleted first."""
    aws.control.add_image(OWN_IMAGE)
    yield
    ssm = aws.client("ssm")
    if BAKED_PARAMETER in [row["Name"] for row in ssm.describe_parameters()["Parameters"]]:
        ssm.delete_parameter(Name=BAKED_PARAMETER)


def prepare(aws: LocalAws, stack: MakeStack, variant: str, **more: Any) -> tuple[Stack, Any]:
    """The stack and its template, with the assets uploaded."""
    name, settings = VARIANTS[variant]
    assembly = assemble(name, **settings, **more)
    assembly.publish(aws)
    if variant == "baked":
        aws.client("ssm").put_parameter(
            Name=BAKED_PARAMETER, Value=OWN_IMAGE, Type="String", Overwrite=True
        )
    return stack(name), assembly.template


def rest(aws: LocalAws) -> list[str]:
    """What is left, without the parameter of a baked image, which belongs to another stack."""
    return [row.id for row in aws.inventory() if row.id != BAKED_PARAMETER]


@pytest.mark.parametrize("variant", [*_lives()])
def test_is_created_changed_and_destroyed(aws: LocalAws, stack: MakeStack, variant: str) -> None:
    made, template = prepare(aws, stack, variant)
    assert made.deploy("create_stack", template) == "CREATE_COMPLETE", made.events()
    _, changed = prepare(aws, stack, variant, **CHANGE[made.name])
    assert made.deploy("update_stack", changed) == "UPDATE_COMPLETE", made.events()
    assert made.delete() == "DELETE_COMPLETE"
    assert rest(aws) == []
    assert_no_machine_runs(aws)


@pytest.mark.parametrize(("variant", "kind"), [*_faults()])
def test_fails_and_leaves_nothing(aws: LocalAws, stack: MakeStack, variant: str, kind: str) -> None:
    made, template = prepare(aws, stack, variant)
    break_it, message = BREAKS[made.name][kind]
    break_it(aws)
    assert made.deploy("create_stack", template) == "ROLLBACK_COMPLETE"
    reasons = [reason for _, status, reason in made.events() if status == "CREATE_FAILED"]
    assert message in reasons[0]
    aws.control.reset()  # the calls that failed are needed for the inventory
    assert_no_machine_runs(aws)
    assert rest(aws) == [made.name], "the stack's record alone is left"
    assert made.delete() == "DELETE_COMPLETE"
    assert rest(aws) == []
