"""The constructs in someone else's app."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Match, Template

from gpustation import (
    Framework,
    GpuImage,
    GpuInstance,
    ImageChoice,
    ImageContents,
    ImageSource,
    QuotaCheck,
    QuotaMode,
    ReadySignal,
    WorkstationNetwork,
)
from gpustation.catalog.prices import CATALOG_ORIGIN
from tests.support.synthesis import machine_settings
from tests.support.template_graph import TemplateGraph, actions, statements


@pytest.fixture
def stack() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Theirs")


def add_machine(stack: Stack, root: Path, **arguments: str) -> GpuInstance:
    """A machine in a network of their own."""
    vpc = ec2.Vpc(stack, "Vpc", max_azs=1, nat_gateways=0)
    subnet = vpc.public_subnets[0]
    return GpuInstance(
        stack,
        "Machine",
        vpc=vpc,
        subnet=subnet,
        security_group=ec2.SecurityGroup(stack, "Group", vpc=vpc),
        choice=ImageChoice(stack, "Choice", instance_type="g5.xlarge"),
        scripts=root / "userdata",
        ready={step: ReadySignal(stack, step) for step in ("driver", "environment", "gpu")},
        **({"instance_type": "g5.xlarge"} | arguments),  # type: ignore[arg-type]
    )


def test_a_machine_in_a_network_of_their_own(stack: Stack, root: Path) -> None:
    machine = add_machine(stack, root)
    machine.instance.node.add_dependency(QuotaCheck(stack, "Check", instance_type="g5.xlarge"))
    graph = TemplateGraph(Template.from_stack(stack).to_json())
    (instance,) = graph.of_type("AWS::EC2::Instance")
    needed = graph.created_before(instance)
    assert any("PublicSubnet1DefaultRoute" in name for name in needed)
    assert any(name.startswith("Check") for name in needed)


def test_a_check_alone_for_an_instance_of_their_own(stack: Stack) -> None:
    QuotaCheck(stack, "Check", instance_type="p4d.24xlarge", mode=QuotaMode.WARN)
    Template.from_stack(stack).has_resource_properties(
        "Custom::QuotaCheck",
        {"InstanceType": "p4d.24xlarge", "Mode": "warn", "Price": Match.absent()},
    )
    allowed = {action for statement in policies(stack)[0] for action in actions(statement)}
    assert "pricing:GetProducts" not in allowed, "nobody uses the price"


def test_a_machine_without_a_check_shows_the_catalogs_price(stack: Stack, root: Path) -> None:
    add_machine(stack, root)
    settings = str(machine_settings(Template.from_stack(stack)))
    assert f'"usd_per_hour":1.006,"price_of":"{CATALOG_ORIGIN}"' in settings


def test_two_machines_share_the_functions(stack: Stack) -> None:
    for name in ("First", "Second"):
        ImageChoice(stack, name, instance_type="g5.xlarge", ready_timeout=Duration.hours(1))
    Template.from_stack(stack).resource_count_is("AWS::Lambda::Function", 1)


def policies(stack: Stack) -> list[list[dict[str, Any]]]:
    """The statements of each policy."""
    resources = Template.from_stack(stack).find_resources("AWS::IAM::Policy").values()
    return [[*statements(policy)] for policy in resources]


def test_what_shares_a_function_shares_its_statements(stack: Stack) -> None:
    """IAM takes a Sid once per policy, and refuses the others at deploy time."""
    for name, instance_type, image in (
        ("First", "g5.xlarge", ImageSource.ubuntu_22_04()),
        ("Second", "p4d.24xlarge", ImageSource.ssm_parameter("/my/own")),
        ("Third", "g5.xlarge", ImageSource.ubuntu_22_04()),
    ):
        ImageChoice(stack, name, instance_type=instance_type, image=image)
        QuotaCheck(stack, f"{name}Check", instance_type=instance_type, mode=QuotaMode.REQUEST)
    choice, check = policies(stack)
    for policy in (choice, check):
        sids = [statement["Sid"] for statement in policy]
        assert sorted(sids) == sorted(set(sids))
    if not any(statement["Sid"] == "ReadImageId" for statement in choice):
        choice, check = check, choice
    reached = {
        statement["Sid"]: json.dumps(statement["Resource"]) for statement in (*choice, *check)
    }
    for part in ("/ubuntu/server/22.04/", ":parameter/my/own"):
        assert reached["ReadImageId"].count(part) == 1
    for part in ("ec2/L-DB2E81BA", "ec2/L-417A185B"):
        assert reached["RequestQuota"].count(part) == 1
    assert reached["ReadStack"].count("AWS::StackId") == 1


def test_fails_when_the_type_cannot_run_the_framework(stack: Stack, root: Path) -> None:
    with pytest.raises(ValueError, match=r"p5\.48xlarge cannot run mxnet, its H100"):
        add_machine(stack, root, instance_type="p5.48xlarge")


def test_fails_when_the_key_holds_what_cloudformation_resolves(stack: Stack, root: Path) -> None:
    with pytest.raises(ValueError, match=r"public_key must not contain \{\{"):
        add_machine(stack, root, public_key="ssh-ed25519 AAAA {{resolve:ssm:/password}}")


def test_fails_when_the_type_is_unknown(stack: Stack) -> None:
    with pytest.raises(ValueError, match=r"got m5\.large"):
        QuotaCheck(stack, "Check", instance_type="m5.large")


def test_fails_when_the_mode_is_unknown(stack: Stack) -> None:
    with pytest.raises(ValueError, match="mode must be one of enforce, warn, request, got maybe"):
        QuotaCheck(stack, "Check", instance_type="g5.xlarge", mode="maybe")  # type: ignore[arg-type]


def test_fails_when_the_framework_is_unknown(stack: Stack) -> None:
    with pytest.raises(ValueError, match="framework must be one of mxnet, pytorch, got jax"):
        QuotaCheck(stack, "Check", instance_type="g5.xlarge", framework="jax")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (ImageSource.ubuntu_24_04(), "ubuntu-24.04"),
        (ImageSource.ubuntu_22_04(), "ubuntu-22.04"),
        (ImageSource.deep_learning_base(), "dlami"),
        (ImageSource.baked(), "baked"),
        (ImageSource.baked("anna"), "baked:anna"),
        (ImageSource.ami("ami-0123456789abcdef0"), "ami-0123456789abcdef0"),
        (ImageSource.ssm_parameter("/my/own"), "/my/own"),
    ],
)
def test_an_image_source_is_the_setting_of_that_name(
    stack: Stack, source: ImageSource, name: str
) -> None:
    ImageChoice(stack, "Choice", instance_type="g5.xlarge", image=source)
    Template.from_stack(stack).has_resource_properties("Custom::ImageChoice", {"Image": name})


@pytest.mark.parametrize(
    ("factory", "given", "rule"),
    [
        (ImageSource.ami, "ubuntu-24.04", "image_id must begin with ami-, got ubuntu-24.04"),
        (ImageSource.ami, "ami-xyz", r"image=ami-xyz: must be one of ubuntu-24\.04, "),
        (ImageSource.ssm_parameter, "my/own", "name must begin with a slash, got my/own"),
        (ImageSource.ssm_parameter, "/aws/own", "image=/aws/own: must not begin with /aws/"),
        (ImageSource.baked, "a b", "image=baked:a b: must be letters, digits and hyphens"),
    ],
)
def test_an_image_source_follows_the_rules_of_the_setting(
    factory: Callable[[str], ImageSource], given: str, rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        factory(given)


def test_another_framework_needs_no_string(stack: Stack) -> None:
    ImageChoice(
        stack,
        "Choice",
        instance_type="g5.xlarge",
        image=ImageSource.baked(),
        framework=Framework.PYTORCH,
    )
    Template.from_stack(stack).has_resource_properties(
        "Custom::ImageChoice", {"Framework": "pytorch"}
    )


def test_fails_when_a_subnet_number_is_out_of_range(stack: Stack) -> None:
    with pytest.raises(ValueError, match="number must be from 1 to 255, got 0"):
        WorkstationNetwork(stack, "Network").add_subnet(
            stack, "Subnet", number=0, availability_zone="us-east-1a"
        )


@pytest.mark.parametrize(
    ("number", "prefix_length", "cidr"),
    [(1, 24, "10.0.1.0/24"), (255, 24, "10.0.255.0/24"), (4095, 28, "10.0.255.240/28")],
)
def test_a_subnet_takes_its_part_of_the_network(
    stack: Stack, number: int, prefix_length: int, cidr: str
) -> None:
    WorkstationNetwork(stack, "Network").add_subnet(
        stack,
        "Subnet",
        number=number,
        availability_zone="us-east-1a",
        prefix_length=prefix_length,
    )
    Template.from_stack(stack).has_resource_properties("AWS::EC2::Subnet", {"CidrBlock": cidr})


def add_image(stack: Stack, root: Path, instance_type: str = "g5.xlarge") -> GpuImage:
    """An image of their own name, in a network of ours."""
    network = WorkstationNetwork(stack, "Network")
    choice = ImageChoice(
        stack, "Choice", instance_type="g5.xlarge", image=ImageSource.ubuntu_24_04()
    )
    return GpuImage(
        stack,
        "Image",
        contents=ImageContents("theirs", root / "userdata", instance_type),
        choice=choice,
        subnet=network.add_subnet(
            stack, "Subnet", number=1, availability_zone=choice.availability_zone
        ),
        security_group=network.security_group,
    )


def test_an_image_of_their_own(stack: Stack, root: Path) -> None:
    add_image(stack, root)
    template = Template.from_stack(stack)
    template.has_resource_properties("AWS::ImageBuilder::ImageRecipe", {"Name": "theirs"})
    template.has_resource_properties("AWS::Logs::LogGroup", {"RetentionInDays": 30})


def test_fails_when_the_images_type_cannot_run_the_framework(stack: Stack, root: Path) -> None:
    with pytest.raises(ValueError, match=r"p5\.48xlarge cannot run mxnet, its H100"):
        add_image(stack, root, "p5.48xlarge")


def test_fails_when_the_scripts_are_not_there(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scripts must be a folder with a run\.sh in it"):
        add_machine(stack, tmp_path)
