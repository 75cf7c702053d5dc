"""Image Builder's types with machines that are records: the lifecycle, not the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localaws import LocalAws
from localaws.account.cloudformation import schemas
from tests.support.image_stack import (
    DELETES,
    LOG,
    OUTPUTS,
    WRITES,
    arn,
    bash,
    component,
    document,
    image_stack,
    living,
    step,
)
from tests.support.probe_stack import G_QUOTA, Stack, role

GOOD = document(
    build=[bash("touch /opt/built")],
    validate=[bash("test -e /opt/built")],
    test=[bash("test -e /opt/built")],
)


def test_image_is_built_tested_described_and_deleted(stack: Stack, aws: LocalAws) -> None:
    assert stack.create(image_stack(GOOD), OUTPUTS) == "CREATE_COMPLETE", stack.events()
    outputs = stack.outputs()
    prefix = f"arn:aws:imagebuilder:us-east-1:{aws.account}"
    assert outputs["Arn"] == f"{prefix}:image/probe/1.0.0/1"
    assert stack.physical_id("Component") == f"{prefix}:component/probe/1.0.0/1"
    (image,) = aws.client("ec2").describe_images(Owners=["self"])["Images"]
    assert image["ImageId"] == outputs["ImageId"]
    assert image["Name"].startswith("probe 20")
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert tags == {
        "gpustation": "probe",
        "CreatedBy": "EC2 Image Builder",
        "Ec2ImageBuilderArn": outputs["Arn"],
    }
    assert image["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 30
    lines = aws.log_lines(LOG)
    assert "component probe, phase build, step only: ExecuteBash started" in lines
    assert any("simulated" in line for line in lines)
    assert sorted(living(aws)) == ["built image", "image", "log group", "snapshot"]
    assert stack.delete() == "DELETE_COMPLETE"
    assert living(aws) == []


def test_build_and_test_each_have_an_instance_of_their_own(stack: Stack, aws: LocalAws) -> None:
    before = len(aws.control.history())
    aws.control.set_quota(G_QUOTA, 4)
    assert stack.create(image_stack(GOOD)) == "CREATE_COMPLETE", stack.events()
    events = aws.control.history()[before:]
    told = ["launched", "stopped", "terminated", "launched", "terminated"]
    assert [event.event for event in events] == told
    assert len({event.instance_id for event in events}) == 2
    assert {event.instance_type for event in events} == {"g4dn.xlarge"}


@pytest.mark.parametrize("phase", ["build", "validate", "test"])
def test_failing_phase_leaves_nothing_and_says_what_failed(
    stack: Stack, aws: LocalAws, phase: str
) -> None:
    aws.control.machine_fault({"bash": {"exit": 3, "when": "break", "stderr": "no such GPU\n"}})
    phases = {"build": [bash("true")], phase: [bash("break", name="breaks")]}
    assert stack.create(image_stack(document(**phases))) == "ROLLBACK_COMPLETE"
    reason = stack.reason("Image")
    assert f"component probe, phase {phase}, step breaks: exit status 3\nno such GPU" in reason
    assert "HandlerErrorCode: NotStabilized" in reason
    assert living(aws) == []


def test_fails_when_there_is_no_room_for_the_build(stack: Stack, aws: LocalAws) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    assert stack.create(image_stack(GOOD)) == "ROLLBACK_COMPLETE"
    assert "vCPU limit of 0" in stack.reason("Image")


def test_the_role_decides_what_a_component_may_fetch(
    stack: Stack, aws: LocalAws, code_bucket: str
) -> None:
    aws.client("s3").put_object(Bucket=code_bucket, Key="scripts.zip", Body=b"x")
    source = f"s3://{code_bucket}/scripts.zip"
    fetch = step("S3Download", [{"source": source, "destination": "/opt/scripts.zip"}])
    resources = image_stack(document(build=[fetch]))
    resources["Role"] = role("ec2", Action="logs:*", Resource="*")
    assert stack.create(resources) == "ROLLBACK_COMPLETE"
    assert f"step only: S3Download: {source}" in stack.reason("Image")
    assert "AccessDenied" in stack.reason("Image")


def test_fetched_file_is_in_the_image(stack: Stack, aws: LocalAws, code_bucket: str) -> None:
    aws.client("s3").put_object(Bucket=code_bucket, Key="scripts.zip", Body=b"x")
    row = {"source": f"s3://{code_bucket}/scripts.zip", "destination": "/opt/scripts.zip"}
    data = document(build=[step("S3Download", [row])])
    assert stack.create(image_stack(data), OUTPUTS) == "CREATE_COMPLETE"
    root = Path(aws.control.image_root(stack.outputs()["ImageId"]))
    assert (root / "opt/scripts.zip").read_bytes() == b"x"


def test_deleting_the_stack_ends_a_build(stack: Stack, aws: LocalAws) -> None:
    names = [f"Component{number}" for number in range(10)]
    resources = image_stack(GOOD)
    resources |= {name: component(GOOD, name=name) for name in names}
    resources["Recipe"]["Properties"]["Components"] = [{"ComponentArn": arn(n)} for n in names]
    before = len(aws.control.history())
    stack.stack_id = aws.client("cloudformation").create_stack(
        StackName=stack.name,
        TemplateBody=json.dumps({"Resources": resources}),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )["StackId"]
    while len(aws.control.history()) == before:
        assert stack.describe()["StackStatus"] == "CREATE_IN_PROGRESS"
    assert stack.delete() == "DELETE_COMPLETE"
    assert "the build was cancelled" in stack.reason("Image")
    assert living(aws) == []


def test_later_resource_that_fails_takes_the_image_along(stack: Stack, aws: LocalAws) -> None:
    late = {**component("no document"), "DependsOn": "Image"}
    late["Properties"] = {**late["Properties"], "Name": "late"}
    assert stack.create({**image_stack(GOOD), "Late": late}) == "ROLLBACK_COMPLETE"
    assert "The component data is not valid" in stack.reason("Late")
    assert living(aws) == []


def test_new_version_builds_a_new_image_and_deletes_the_old_one(
    stack: Stack, aws: LocalAws
) -> None:
    stack.create(image_stack(GOOD), OUTPUTS)
    old = stack.outputs()["ImageId"]
    before = len(aws.control.history())
    assert stack.update(image_stack(GOOD, "1.0.1"), OUTPUTS) == "UPDATE_COMPLETE"
    new = stack.outputs()["ImageId"]
    assert new != old
    assert len(aws.control.history()) == before + 5
    assert [i["ImageId"] for i in aws.client("ec2").describe_images(Owners=["self"])["Images"]] == [
        new
    ]
    assert sorted(living(aws)) == ["built image", "image", "log group", "snapshot"]


def test_what_needs_no_build_changes_in_place(stack: Stack, aws: LocalAws) -> None:
    resources = image_stack(GOOD)
    stack.create(resources, OUTPUTS)
    ids = {name: stack.physical_id(name) for name in resources}
    outputs, before = stack.outputs(), len(aws.control.history())
    changed = image_stack(GOOD, delete=False)
    changed["Infrastructure"]["Properties"]["InstanceTypes"] = ["g5.xlarge"]
    changed["Component"]["Properties"]["Tags"] = {"gpustation": "two"}
    assert stack.update(changed, OUTPUTS) == "UPDATE_COMPLETE", stack.events()
    assert {name: stack.physical_id(name) for name in resources} == ids
    assert stack.outputs() == outputs
    assert len(aws.control.history()) == before
    # Its deletion settings went: now the image outlives the stack, as on AWS
    assert stack.delete() == "DELETE_COMPLETE"
    assert sorted(living(aws)) == ["image", "snapshot"]
    aws.client("ec2").deregister_image(ImageId=outputs["ImageId"], DeleteAssociatedSnapshots=True)


def test_fails_when_the_role_may_not_delete_the_image(stack: Stack, aws: LocalAws) -> None:
    iam = aws.client("iam")
    trust = json.dumps(role("imagebuilder")["Properties"]["AssumeRolePolicyDocument"])
    made = iam.create_role(RoleName="cleaner", AssumeRolePolicyDocument=trust)["Role"]
    resources = image_stack(GOOD)
    settings = {"ExecutionRole": made["Arn"]}
    resources["Image"]["Properties"]["DeletionSettings"] = settings
    assert stack.create(resources) == "CREATE_COMPLETE"
    assert stack.delete() == "DELETE_FAILED"
    assert "not authorized to perform: ec2:DeregisterImage" in stack.reason("Image")
    allowed = {"Effect": "Allow", "Action": DELETES, "Resource": "*"}
    document = json.dumps({"Statement": [allowed]})
    iam.put_role_policy(RoleName="cleaner", PolicyName="deletes", PolicyDocument=document)
    assert stack.delete() == "DELETE_COMPLETE"
    assert living(aws) == []
    iam.delete_role_policy(RoleName="cleaner", PolicyName="deletes")
    iam.delete_role(RoleName="cleaner")


def test_a_role_that_may_not_log_has_no_log_and_the_build_goes_on(
    stack: Stack, aws: LocalAws
) -> None:
    resources = image_stack(GOOD)
    resources["Role"] = role("ec2", Action="s3:GetObject", Resource="*")
    assert stack.create(resources) == "CREATE_COMPLETE"
    assert aws.log_lines(LOG) == []


def test_a_role_that_may_not_make_the_group_has_no_log_though_it_exists(
    stack: Stack, aws: LocalAws
) -> None:
    resources = image_stack(GOOD)
    for actions in (WRITES[1:], WRITES):
        resources["Role"] = role("ec2", Action=actions, Resource={"Fn::GetAtt": ["Log", "Arn"]})
        assert stack.create(resources) == "CREATE_COMPLETE"
        lines = aws.log_lines(LOG)
        assert bool(lines) == ("logs:CreateLogGroup" in actions)
        assert stack.delete() == "DELETE_COMPLETE"


def test_changed_document_without_a_new_version_is_refused(stack: Stack) -> None:
    stack.create(image_stack(GOOD))
    other = document(build=[bash("false")])
    assert stack.update(image_stack(other)) == "UPDATE_ROLLBACK_COMPLETE"
    assert "already exists" in stack.reason("Component")
    assert "HandlerErrorCode: AlreadyExists" in stack.reason("Component")


def test_component_in_use_is_not_deleted(stack: Stack, aws: LocalAws) -> None:
    stack.create({"Component": component(GOOD)})
    used = {"ComponentArn": stack.physical_id("Component")}
    recipe = image_stack(GOOD)["Recipe"]
    recipe["Properties"]["Components"] = [used]
    other = Stack(aws, f"{stack.name}-recipe")
    assert other.create({"Recipe": recipe}) == "CREATE_COMPLETE"
    assert stack.delete() == "DELETE_FAILED"
    assert "has other resources depended on it" in stack.reason("Component")
    assert other.delete() == "DELETE_COMPLETE"


DOCUMENTS = [
    ("phases: []", "not a document in JSON"),
    ("{}", "not a document in JSON"),
    ('{"schemaVersion": 1.0, "phases": []}', "phases must be some of"),
    ('{"schemaVersion": 2.0, "phases": []}', "schemaVersion must be 1.0"),
    (document(install=[bash("true")]), "phases must be some of build, validate, test, got"),
    (document(build=[step("Reboot", {})]), "does not know the action Reboot"),
    (document(build=[bash("true", onFailure="Ignore")]), "knows onFailure=Abort only"),
    (document(build=[bash("true", retries=3)]), "does not know ['retries']"),
    (document(build=[step("S3Download", {"source": "s3://a/b"})]), "must be a list"),
]


@pytest.mark.parametrize(("data", "said"), DOCUMENTS, ids=[said for _, said in DOCUMENTS])
def test_fails_when_a_document_is_none(stack: Stack, data: str, said: str) -> None:
    assert stack.create({"Component": component(data)}) == "ROLLBACK_COMPLETE"
    assert said in stack.reason("Component")


def test_fails_when_a_recipe_names_a_component_that_does_not_exist(stack: Stack) -> None:
    resources = image_stack(GOOD)
    missing = "arn:aws:imagebuilder:us-east-1:aws:component/x/1.0.0/1"
    resources["Recipe"]["Properties"]["Components"] = [{"ComponentArn": missing}]
    assert stack.create(resources) == "ROLLBACK_COMPLETE"
    assert "does not exist" in stack.reason("Recipe")


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("Component", "Data", "Always"),
        ("ImageRecipe", "ParentImage", "Always"),
        ("InfrastructureConfiguration", "InstanceTypes", "Never"),
        ("Image", "ImageTestsConfiguration", "Always"),
        ("Image", "DeletionSettings", "Never"),
    ],
)
def test_recreation_is_what_the_schemas_say(kind: str, name: str, expected: str) -> None:
    assert schemas.recreation(f"AWS::ImageBuilder::{kind}", name) == expected
