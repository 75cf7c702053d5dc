"""The promises of the workstation, each as an assertion on its template."""

import json
from typing import Any

import pytest
from aws_cdk.assertions import Annotations, Match, Template

from gpustation.catalog.names import REPORTS
from tests.support.synthesis import (
    PUBLIC_KEY,
    actions_of,
    machine_settings,
    make_app,
    resource,
    synthesize,
)
from tests.support.template_graph import statements

VARIANTS: list[dict[str, Any]] = [
    {},
    {"ssh_cidr": "203.0.113.7/32"},
    {"generation": 2, "quota": "request"},
    {"stop_at": "02:30 Europe/Berlin", "stop_at_patience": 10},
    {"framework": "pytorch", "instance_type": "p5.48xlarge", "image": "dlami"},
]


def instance(template: Template | None = None) -> dict[str, Any]:
    return resource(template or synthesize(), "AWS::EC2::Instance")


def test_nothing_may_come_in_by_default() -> None:
    group = resource(synthesize(), "AWS::EC2::SecurityGroup")["Properties"]
    assert "SecurityGroupIngress" not in group
    synthesize().resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_only_the_given_networks_reach_only_port_22() -> None:
    template = synthesize(ssh_cidr="203.0.113.7/32,198.51.100.0/24")
    rules = resource(template, "AWS::EC2::SecurityGroup")["Properties"]["SecurityGroupIngress"]
    assert [(r["CidrIp"], r["IpProtocol"], r["FromPort"], r["ToPort"]) for r in rules] == [
        ("203.0.113.7/32", "tcp", 22, 22),
        ("198.51.100.0/24", "tcp", 22, 22),
    ]
    template.resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_metadata_needs_a_token_and_stays_on_the_machine() -> None:
    options = instance()["Properties"]["MetadataOptions"]
    assert options == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    synthesize().resource_count_is("AWS::EC2::LaunchTemplate", 0)


def test_the_root_disk_is_encrypted_gp3_under_the_images_own_name() -> None:
    (mapping,) = instance()["Properties"]["BlockDeviceMappings"]
    assert mapping["Ebs"] == {
        "Encrypted": True,
        "VolumeSize": 64,
        "VolumeType": "gp3",
        "DeleteOnTermination": True,
    }
    assert mapping["DeviceName"]["Fn::GetAtt"][1] == "RootDeviceName"


def test_shutdown_from_inside_stops_and_keeps_the_disk() -> None:
    assert instance()["Properties"]["InstanceInitiatedShutdownBehavior"] == "stop"


def test_a_machine_that_nothing_stops_is_warned_of_with_its_price() -> None:
    warning = Match.string_like_regexp("nothing stops this machine by itself: .* USD per day")
    nothing, daily = {"idle_stop_minutes": 0}, {"stop_at": "22:00 UTC"}
    for settings, warned in ((nothing, True), ({}, False), ({**nothing, **daily}, False)):
        app = make_app(**settings, with_stages=False)
        stack = app.node.find_child("GpuWorkstation")
        found = Annotations.from_stack(stack).find_warning("*", warning)  # type: ignore[arg-type]
        assert bool(found) == warned


def test_a_deploy_says_the_price_and_what_stops_the_machine() -> None:
    app = make_app(with_stages=False, stop_at="22:00 UTC", monthly_budget_usd=20)
    stack = app.node.find_child("GpuWorkstation")
    (found,) = Annotations.from_stack(stack).find_info("*", Match.any_value())  # type: ignore[arg-type]
    text = str(found.entry.data)
    assert "0.526 USD per hour, 12.62 USD per day" in text and "5.12 USD per month" in text
    stops = "it stops when nothing has moved for 60 min, every day at 22:00 UTC, and when it has"
    assert stops in text


def test_there_is_no_ec2_key_pair() -> None:
    synthesize().resource_count_is("AWS::EC2::KeyPair", 0)
    assert "KeyName" not in instance(synthesize(public_key=PUBLIC_KEY))["Properties"]


UNTAGGABLE = {
    "AWS::CloudFormation::WaitCondition",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Policy",
    "AWS::Scheduler::Schedule",
    "Custom::CapacityRelease",
    "Custom::ImageChoice",
    "Custom::QuotaCheck",
}


@pytest.mark.parametrize("settings", VARIANTS)
def test_every_resource_carries_the_tag(settings: dict[str, Any]) -> None:
    for logical_id, found in synthesize(**settings).to_json()["Resources"].items():
        if found["Type"] in UNTAGGABLE:
            continue
        tags = found["Properties"]["Tags"]
        pairs = tags if isinstance(tags, dict) else {tag["Key"]: tag["Value"] for tag in tags}
        assert pairs["gpustation"] == "GpuWorkstation", logical_id


def test_volumes_carry_it_too() -> None:
    assert instance()["Properties"]["PropagateTagsToVolumeOnCreation"] is True


def test_the_machine_may_open_sessions_read_two_things_and_write_one() -> None:
    actions = actions_of(synthesize(), "Generation1Machine")
    assert set(actions) == {
        "s3:GetObject",
        "ssm:GetParameter",
        "ssm:PutParameter",
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    }
    parameter = json.dumps(actions["ssm:GetParameter"])
    assert "Generation1MachineSettings" in parameter and "*" not in parameter
    report = json.dumps(actions["ssm:PutParameter"])
    assert "Generation1MachineReport" in report and "*" not in report
    scripts = json.dumps(actions["s3:GetObject"])
    assert scripts.rstrip('"]}').endswith(".tar") and "*" not in scripts


def test_the_report_of_the_machine_is_never_overwritten_by_a_deploy() -> None:
    """CloudFormation writes a parameter when its value, type or description changes."""
    made = []
    for settings in VARIANTS:
        parameters = synthesize(**settings).find_resources("AWS::SSM::Parameter")
        ((name, report),) = (row for row in parameters.items() if "MachineReport" in row[0])
        assert report["Properties"].pop("Name") == f"{REPORTS}/GpuWorkstation/{name}"
        made.append(report["Properties"])
    assert all(properties == made[0] for properties in made)
    assert made[0]["Value"] == "{}"


def test_no_role_carries_a_managed_policy() -> None:
    for role in synthesize().find_resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role["Properties"]
        assert "Policies" not in role["Properties"]


READING = {
    "cloudformation:DescribeStacks",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeCapacityReservations",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "freetier:GetAccountPlanState",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "pricing:GetProducts",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota",
}


@pytest.mark.parametrize("mode", ["enforce", "warn"])
def test_the_quota_check_only_reads(mode: str) -> None:
    assert set(actions_of(synthesize(quota=mode), "QuotaCheckHandler")) == READING


def test_only_request_may_request_and_only_this_quota() -> None:
    actions = actions_of(synthesize(quota="request"), "QuotaCheckHandler")
    assert set(actions) - READING == {
        "iam:CreateServiceLinkedRole",
        "servicequotas:RequestServiceQuotaIncrease",
    }
    assert "ec2/L-DB2E81BA" in json.dumps(actions["servicequotas:RequestServiceQuotaIncrease"])


def test_request_may_create_the_role_of_service_quotas_and_no_other() -> None:
    """An account's first request creates it, with the permissions of the caller."""
    (created,) = (
        statement
        for statement in statements(synthesize(quota="request").to_json())
        if "CreateServiceLinkedRole" in json.dumps(statement)
    )
    assert created["Action"] == "iam:CreateServiceLinkedRole"
    assert created["Resource"]["Fn::Join"][1][-1] == (
        ":role/aws-service-role/servicequotas.amazonaws.com/AWSServiceRoleForServiceQuotas"
    )
    service = {"iam:AWSServiceName": "servicequotas.amazonaws.com"}
    assert created["Condition"] == {"StringEquals": service}


@pytest.mark.parametrize(
    ("image", "parameter"),
    [
        ("ubuntu-22.04", "::parameter/aws/service/canonical/ubuntu/server/22.04/"),
        ("baked", ":parameter/gpustation/image/mxnet"),
        ("baked:anna", ":parameter/gpustation/anna/image/mxnet"),
        ("/team/image", ":parameter/team/image"),
    ],
)
def test_the_image_choice_reads_one_parameter(image: str, parameter: str) -> None:
    actions = actions_of(synthesize(image=image), "ImageChoiceHandler")
    text = json.dumps(actions["ssm:GetParameter"])
    assert parameter in text and "*" not in text


def test_another_name_means_other_stacks_and_changes_nothing_else_of_the_machine() -> None:
    plain, named = synthesize(image="baked").to_json(), synthesize(name="anna", image="baked")
    choice = resource(named, "Custom::ImageChoice")["Properties"]
    assert choice["Image"] == "baked:anna"
    text = json.dumps(named.to_json())
    for ours, theirs in (
        ("GpuWorkstation-anna", "GpuWorkstation"),
        ('"Image": "baked:anna"', '"Image": "baked"'),
        ('"image": "baked:anna"', '"image": "baked"'),
        ("parameter/gpustation/anna/image/mxnet", "parameter/gpustation/image/mxnet"),
    ):
        assert ours in text
        text = text.replace(ours, theirs)
    assert json.loads(text) == plain


def test_an_ami_id_needs_no_parameter() -> None:
    actions = actions_of(synthesize(image="ami-0123456789abcdef0"), "ImageChoiceHandler")
    assert "ssm:GetParameter" not in actions


def test_no_log_group_outlives_the_stack_or_comes_back() -> None:
    groups = synthesize().find_resources("AWS::Logs::LogGroup")
    functions = synthesize().find_resources("AWS::Lambda::Function")
    assert len(groups) == len(functions) == 2
    for group in groups.values():
        assert group["DeletionPolicy"] == "Delete"
        assert group["Properties"]["RetentionInDays"] == 30
    for function in functions.values():
        assert function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups
    assert "logs:CreateLogGroup" not in json.dumps(synthesize().to_json())


def depends_on(template: Template) -> str:
    return " ".join(instance(template)["DependsOn"])


@pytest.mark.parametrize("settings", VARIANTS)
def test_the_machine_waits_for_the_quota_and_the_way_out(settings: dict[str, Any]) -> None:
    template = synthesize(**settings)
    assert "QuotaCheck" in depends_on(template)
    assert "SubnetDefaultRoute" in depends_on(template)


def test_nothing_that_an_update_changes_is_touched_before_the_choice() -> None:
    resources = synthesize().to_json()["Resources"]
    for logical_id, found in resources.items():
        if found["Type"] in ("AWS::SSM::Parameter", "AWS::EC2::SecurityGroup") or (
            logical_id.startswith("Generation1MachineRoleDefaultPolicy")
        ):
            assert any("ImageChoice" in name for name in found["DependsOn"]), logical_id


def test_nothing_that_costs_comes_before_the_quota_check() -> None:
    choice = resource(synthesize(), "Custom::ImageChoice")
    assert any(name.startswith("QuotaCheck") for name in choice["DependsOn"])


def test_each_step_waits_for_the_machine_with_a_handle_of_its_own() -> None:
    conditions = synthesize().find_resources("AWS::CloudFormation::WaitCondition")
    assert len(conditions) == 3
    handles = {c["Properties"]["Handle"]["Ref"] for c in conditions.values()}
    assert len(handles) == 3
    for condition in conditions.values():
        assert condition["Properties"]["Timeout"] == "1800"
        assert condition["Properties"]["Count"] == 1
        assert any("MachineInstance" in name for name in condition["DependsOn"])


def test_image_subnet_and_zone_come_from_the_choice() -> None:
    properties = instance()["Properties"]
    assert properties["ImageId"]["Fn::GetAtt"][1] == "ImageId"
    subnet = resource(synthesize(), "AWS::EC2::Subnet")["Properties"]
    assert subnet["AvailabilityZone"]["Fn::GetAtt"][1] == "AvailabilityZone"
    assert subnet["MapPublicIpOnLaunch"] is True
    assert "SsmParameterValue" not in json.dumps(synthesize().to_json()["Parameters"])


def test_there_is_no_nat_and_no_second_lambda_for_the_default_group() -> None:
    synthesize().resource_count_is("AWS::EC2::NatGateway", 0)
    synthesize().resource_count_is("AWS::Lambda::Function", 2)


def test_outputs_are_those_of_the_contract() -> None:
    assert set(synthesize().to_json()["Outputs"]) == {
        "InstanceId",
        "AvailabilityZone",
        "ImageId",
        "Quota",
        "Capacity",
        "Ready",
        "SshCommand",
        "JupyterCommand",
        "StopCommand",
        "StartCommand",
    }


def test_the_key_is_in_the_settings_of_the_machine_and_nowhere_else() -> None:
    text = json.dumps(synthesize(public_key=PUBLIC_KEY).to_json())
    assert text.count(PUBLIC_KEY.split()[1]) == 1


def test_a_larger_type_gets_its_fabric_manager() -> None:
    template = synthesize(framework="pytorch", instance_type="p5.48xlarge")
    template.has_resource_properties(
        "AWS::SSM::Parameter",
        {"Value": {"Fn::Join": ["", Match.array_with([Match.string_like_regexp("fabric")])]}},
    )
    text = json.dumps(machine_settings(template)["Properties"]["Value"])
    assert '\\"fabric_manager\\":true' in text.replace("\\\\", "\\")
