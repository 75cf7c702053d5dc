"""The promises of the image, each as an assertion on its template."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stage
from aws_cdk.assertions import Annotations, Match, Template

from gpustation import read_settings
from gpustation.catalog.gpu_types import capabilities_for, types_for
from stacks.base import SCRIPTS
from stacks.gpu_image_stack import GpuImageStack
from tests.support.synthesis import actions_of, make_app, resource, synthesize_image
from tests.support.template_graph import TemplateGraph, statements

TESTED_ON_ANOTHER = {"image_instance_type": "g5.xlarge", "image_retain": True}


def properties(kind: str, template: Template | None = None) -> dict[str, Any]:
    whole = resource(template or synthesize_image(), f"AWS::ImageBuilder::{kind}")
    properties: dict[str, Any] = whole["Properties"]
    return properties


def version(template: Template) -> str:
    return str(properties("Component", template)["Version"])


def test_its_name_is_plain_though_it_lies_in_a_stage() -> None:
    app = make_app()
    stack = app.node.find_child("Image").node.find_child("GpuImage")
    assert isinstance(stack, GpuImageStack)
    assert stack.stack_name == "GpuImage"
    assert [str(child.node.id) for child in app.node.children if "Tree" not in child.node.id] == [
        "GpuWorkstation",
        "Image",
        "Ci",
    ]


def test_metadata_needs_a_token_and_stays_on_the_machine() -> None:
    options = properties("InfrastructureConfiguration")["InstanceMetadataOptions"]
    assert options == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_the_disk_is_encrypted_fast_and_no_larger_than_any_workstations() -> None:
    (mapping,) = properties("ImageRecipe")["BlockDeviceMappings"]
    assert mapping["Ebs"] == {
        "Encrypted": True,
        "VolumeType": "gp3",
        "VolumeSize": 30,
        "Throughput": 250,
        "DeleteOnTermination": True,
    }
    assert mapping["DeviceName"]["Fn::GetAtt"][1] == "RootDeviceName"


def test_nothing_may_come_in_and_there_is_no_key() -> None:
    assert (
        "SecurityGroupIngress"
        not in resource(synthesize_image(), "AWS::EC2::SecurityGroup")["Properties"]
    )
    synthesize_image().resource_count_is("AWS::EC2::SecurityGroupIngress", 0)
    synthesize_image().resource_count_is("AWS::EC2::KeyPair", 0)
    infrastructure = properties("InfrastructureConfiguration")
    assert "KeyPair" not in infrastructure
    graph = TemplateGraph(synthesize_image().to_json())
    (group,) = graph.references(infrastructure["SecurityGroupIds"])
    assert group.startswith("NetworkSecurityGroup")


def test_a_failed_build_leaves_no_machine() -> None:
    assert properties("InfrastructureConfiguration")["TerminateInstanceOnFailure"] is True


def test_it_builds_and_tests_on_the_type_that_was_named() -> None:
    named = synthesize_image(**TESTED_ON_ANOTHER)
    assert properties("InfrastructureConfiguration")["InstanceTypes"] == ["g4dn.xlarge"]
    assert properties("InfrastructureConfiguration", named)["InstanceTypes"] == ["g5.xlarge"]
    for template, name in ((synthesize_image(), "g4dn.xlarge"), (named, "g5.xlarge")):
        for kind in ("Custom::QuotaCheck", "Custom::ImageChoice"):
            assert resource(template, kind)["Properties"]["InstanceType"] == name


def test_the_image_is_tested() -> None:
    assert properties("Image")["ImageTestsConfiguration"] == {
        "ImageTestsEnabled": True,
        "TimeoutMinutes": 60,
    }


def test_image_and_snapshots_go_with_their_successor_or_the_stack() -> None:
    graph = TemplateGraph(synthesize_image().to_json())
    (role,) = graph.references(properties("Image")["DeletionSettings"])
    assert role.startswith("ImageDeletionRole")
    (trust,) = statements(graph.resources[role])
    assert trust["Principal"] == {"Service": "imagebuilder.amazonaws.com"}
    own = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert trust["Condition"] == {"StringEquals": own}


def test_deletion_reaches_only_what_image_builder_made() -> None:
    actions = actions_of(synthesize_image(), "ImageDeletionRole")
    assert set(actions) == {
        "ec2:DeleteSnapshot",
        "ec2:DeregisterImage",
        "ec2:DescribeImageAttribute",
        "ec2:DescribeImages",
        "imagebuilder:DeleteImage",
        "tag:GetResources",
    }
    assert ":image/gpuimage-mxnet/*" in json.dumps(actions["imagebuilder:DeleteImage"])
    (policy,) = (
        policy
        for name, policy in synthesize_image().find_resources("AWS::IAM::Policy").items()
        if name.startswith("ImageDeletionRole")
    )
    by_sid = {statement["Sid"]: statement for statement in statements(policy)}
    builder = {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}
    for sid in ("DeleteImages", "ReadImages"):
        assert by_sid[sid]["Condition"] == {
            "StringEquals": builder | {"aws:ResourceTag/gpustation": "GpuImage"},
            "Null": {"aws:ResourceTag/gpustation:framework": "false"},
        }
    # Image Builder puts the recipe's tags on images alone
    assert by_sid["DeleteSnapshots"]["Condition"] == {"StringEquals": builder}


def test_images_bear_the_tags_by_which_their_role_deletes_them() -> None:
    """Of every version: another framework's image comes before the old one goes."""
    for template in (synthesize_image(), synthesize_image(framework="pytorch")):
        tags = properties("ImageRecipe", template)["AmiTags"]
        assert tags["gpustation"] == "GpuImage"
        assert "gpustation:framework" in tags


def test_retained_images_are_not_deleted_and_say_what_they_cost() -> None:
    template = synthesize_image(**TESTED_ON_ANOTHER)
    assert "DeletionSettings" not in properties("Image", template)
    assert not actions_of(template, "ImageDeletionRole")
    stack = make_app(**TESTED_ON_ANOTHER).node.find_child("Image").node.find_child("GpuImage")
    warning = Match.string_like_regexp("image_retain=true: .*0.05 USD per GiB-month")
    Annotations.from_stack(stack).has_warning("*", warning)  # type: ignore[arg-type]
    other = make_app().node.find_child("Image").node.find_child("GpuImage")
    assert not Annotations.from_stack(other).find_warning("*", warning)  # type: ignore[arg-type]


def test_the_machines_may_do_their_work_and_nothing_else() -> None:
    actions = actions_of(synthesize_image(), "ImageRole")
    assert {name for name in actions if not name.startswith(("ssmmessages", "ec2messages"))} == {
        "imagebuilder:GetComponent",
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:GetObject",
        "ssm:UpdateInstanceInformation",
    }
    component = actions["imagebuilder:GetComponent"]["Fn::GetAtt"]
    assert component[0].startswith("ImageComponent") and component[1] == "Arn"
    for action in ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"):
        (group, attribute) = actions[action]["Fn::GetAtt"]
        assert group.startswith("ImageLogs") and attribute == "Arn", "this one group"


def test_no_role_carries_a_managed_policy() -> None:
    for role in synthesize_image().find_resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]


def test_the_log_is_the_stacks_and_there_before_the_first_line() -> None:
    groups = synthesize_image().find_resources("AWS::Logs::LogGroup")
    (own,) = (name for name in groups if name.startswith("ImageLogs"))
    start, stack_uuid = groups[own]["Properties"]["LogGroupName"]["Fn::Join"][1]
    assert start == f"/aws/imagebuilder/GpuImage/{properties('ImageRecipe')['Name']}/"
    # A group that the service makes again, once the stack is gone, is not the next stack's
    assert stack_uuid == {"Fn::Select": [2, {"Fn::Split": ["/", {"Ref": "AWS::StackId"}]}]}
    assert properties("Image")["LoggingConfiguration"] == {"LogGroupName": {"Ref": own}}
    for group in groups.values():
        assert group["DeletionPolicy"] == "Delete"
        assert group["Properties"]["RetentionInDays"] == 30
    assert own in resource(synthesize_image(), "AWS::ImageBuilder::Image")["DependsOn"]


def test_the_build_waits_for_its_permissions_and_the_way_out() -> None:
    waits = " ".join(resource(synthesize_image(), "AWS::ImageBuilder::Image")["DependsOn"])
    for name in ("ImageRoleDefaultPolicy", "ImageDeletionRoleDefaultPolicy", "SubnetDefaultRoute"):
        assert name in waits


def test_nothing_that_costs_comes_before_the_quota_check() -> None:
    choice = resource(synthesize_image(), "Custom::ImageChoice")
    assert any(name.startswith("QuotaCheck") for name in choice["DependsOn"])
    assert properties("ImageRecipe")["ParentImage"]["Fn::GetAtt"][1] == "ImageId"


def test_the_parameter_has_its_value_only_from_the_tested_image() -> None:
    parameter = resource(synthesize_image(), "AWS::SSM::Parameter")["Properties"]
    assert parameter["Name"] == "/gpustation/image/mxnet"
    assert parameter["Value"]["Fn::GetAtt"][0].startswith("Image")
    assert parameter["Value"]["Fn::GetAtt"][1] == "ImageId"
    pytorch = resource(synthesize_image(framework="pytorch"), "AWS::SSM::Parameter")
    assert pytorch["Properties"]["Name"] == "/gpustation/image/pytorch"


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("", "gpuimage-mxnet"),
        ("anna", "gpuimage-anna-mxnet"),
        # ARNs of Image Builder know no capitals, stacks and parameters do
        ("Anna", "gpuimage-anna-bf4fccd6-mxnet"),
        ("aNNa", "gpuimage-anna-593f4dbd-mxnet"),
    ],
)
def test_each_name_has_a_recipe_and_a_parameter_of_its_own(name: str, recipe: str) -> None:
    template = synthesize_image(**({"name": name} if name else {}))
    for kind in ("ImageRecipe", "Component", "InfrastructureConfiguration"):
        properties = resource(template, f"AWS::ImageBuilder::{kind}")["Properties"]
        assert properties["Name"] == recipe
    parameter = resource(template, "AWS::SSM::Parameter")["Properties"]
    middle = f"{name}/" if name else ""
    assert parameter["Name"] == f"/gpustation/{middle}image/mxnet"


def test_the_image_says_what_is_in_it() -> None:
    assert properties("ImageRecipe")["AmiTags"] == {
        "gpustation": "GpuImage",
        "gpustation:framework": "mxnet",
        "gpustation:driver": "580-server-open",
        "gpustation:cuda": "11.8",
        "gpustation:gpu-architectures": "7.5 8.0 8.6 8.9",
    }
    volta = synthesize_image(image_instance_type="p3dn.24xlarge")
    tags = properties("ImageRecipe", volta)["AmiTags"]
    assert (tags["gpustation:driver"], tags["gpustation:gpu-architectures"]) == (
        "580-server",
        "7.0",
    )


UNTAGGABLE = {
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Policy",
    "Custom::ImageChoice",
    "Custom::QuotaCheck",
}


def test_everything_carries_the_tag_and_so_do_the_machines() -> None:
    for logical_id, found in synthesize_image().to_json()["Resources"].items():
        if found["Type"] not in UNTAGGABLE:
            tags = found["Properties"]["Tags"]
            pairs = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
            assert pairs["gpustation"] == "GpuImage", logical_id
    tags = properties("InfrastructureConfiguration")["ResourceTags"]
    assert tags == {"gpustation": "GpuImage"}


def test_outputs_are_those_of_the_contract() -> None:
    assert set(synthesize_image().to_json()["Outputs"]) == {"ImageId", "Parameter", "Quota"}


def test_the_base_is_ubuntu_whatever_the_workstation_starts_from() -> None:
    for image in ("baked", "dlami", "ami-0123456789abcdef0"):
        assert synthesize_image(image=image).to_json() == synthesize_image().to_json()


@pytest.mark.parametrize(
    "settings",
    [{"disk_gib": 100}, {"generation": 2}, {"ssh_cidr": "203.0.113.7/32"}, {"image_retain": True}],
)
def test_what_is_the_workstations_alone_makes_no_new_version(settings: dict[str, Any]) -> None:
    assert version(synthesize_image(**settings)) == version(synthesize_image())


@pytest.mark.parametrize(
    "settings",
    [
        {"framework": "pytorch"},
        {"notebooks": False},
        {"cuda_toolkit": True},
        {"image_instance_type": "g5.xlarge"},
    ],
)
def test_other_contents_are_another_version(settings: dict[str, Any]) -> None:
    assert version(synthesize_image(**settings)) != version(synthesize_image())


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    scripts = tmp_path / "userdata"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    with (scripts / "phases/10-prepare-system/phase.sh").open("a") as file:
        file.write("true\n")
    return scripts


def test_a_changed_script_changes_versions_choice_and_subnet(changed: Path) -> None:
    before, after = synthesize_image(), synthesize_image(scripts=changed)
    for kind in ("Component", "ImageRecipe"):
        assert properties(kind, before)["Version"] != properties(kind, after)["Version"]
    ids = [set(template.to_json()["Resources"]) for template in (before, after)]
    gone = {name.rstrip("0123456789ABCDEF") for name in ids[0] - ids[1]}
    assert all(name.startswith("Version") for name in gone)
    assert {kind for kind in ("ImageChoice", "Subnet") if any(kind in name for name in gone)} == {
        "ImageChoice",
        "Subnet",
    }
    cidrs = {resource(t, "AWS::EC2::Subnet")["Properties"]["CidrBlock"] for t in (before, after)}
    assert len(cidrs) == 2, "they stand side by side for a while"
    numbers = {
        resource(t, "Custom::QuotaCheck")["Properties"]["Generation"] for t in (before, after)
    }
    assert len(numbers) == 2, "the quota is asked for another machine"


def test_an_unchanged_script_changes_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert synthesize_image(scripts=copy).to_json() == synthesize_image().to_json()


def test_a_change_of_the_bootstrap_alone_makes_no_new_image(tmp_path: Path) -> None:
    copy = tmp_path / "userdata"
    shutil.copytree(SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "bootstrap/bootstrap.sh").open("a") as file:
        file.write("true\n")
    assert synthesize_image(scripts=copy).to_json() == synthesize_image().to_json()


def test_versions_are_what_image_builder_takes() -> None:
    for template in (synthesize_image(), synthesize_image(framework="pytorch")):
        major, minor, patch = (int(part) for part in version(template).split("."))
        assert major == 1
        assert 0 <= minor < 2**30 and 0 <= patch < 2**30


def test_the_workstations_template_does_not_know_of_it() -> None:
    def workstation(with_stages: bool) -> dict[str, Any]:
        app = make_app(with_stages=with_stages)
        stack = app.node.find_child("GpuWorkstation")
        found: dict[str, Any] = Template.from_stack(stack).to_json()  # type: ignore[arg-type]
        return found

    assert workstation(True) == workstation(False)


def test_faults_stop_a_deploy_of_the_image_too() -> None:
    app = App(builtin_cloud_formation_validation=False)
    report = read_settings({"image_instance_type": "p5.48xlarge"})
    stack = GpuImageStack(Stage(app, "Image"), "GpuImage", report=report)
    errors = Annotations.from_stack(stack).find_error("*", Match.any_value())
    assert len(errors) == len(report.faults) == 1


def test_every_type_that_runs_a_framework_can_build_its_image() -> None:
    for framework in ("mxnet", "pytorch"):
        for gpu_type in types_for(framework):
            capabilities = capabilities_for(framework, gpu_type.driver)
            assert gpu_type.compute_capability in capabilities
