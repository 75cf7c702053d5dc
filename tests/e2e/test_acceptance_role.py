"""``Ci/GpuAcceptanceRole``: its session makes a whole run, and can do nothing to anybody else.

Another workstation, and an image that was saved of it, are in the account all the time. What
test_deploy_role_policy.py says of the evaluator holds here, too. In addition no call is compared
with the document of a session or the role that is passed: only the simulation looks at those.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from gpustation.saved_image import remove
from localaws import LocalAws
from tests.e2e.github_job import REPOSITORY, client, outputs, session_of
from tests.e2e.workflow_file import Workflow, checkout
from tests.support.app_folder import AppFolder
from tests.support.assembly import ACCEPTANCE_ROLE, WORKSTATION, assemble
from tests.support.cdk_cli import Cdk, assert_nothing_left, delete_stack, stack_status
from tests.support.probe_stack import G_QUOTA, Stack
from tests.support.synthesis import PUBLIC_KEY

NAME, RUN_NAME = "acceptance-1234abcd", "acceptance-5678abcd"
OURS, OUR_IMAGE = f"{WORKSTATION}-{NAME}", f"GpuImage-{NAME}"
HERE, REGION = "123456789012", "us-east-1"
DENIED = r"AccessDenied|UnauthorizedOperation"


@dataclasses.dataclass(frozen=True)
class Others:
    """What belongs to somebody else in the account.

    Attributes:
        machine: Their machine.
        settings: Name of the parameter with its settings.
        logs: A log group of their stack.
        image: An image saved of their machine.
        snapshot: Its snapshot.
    """

    machine: str
    settings: str
    logs: str
    image: str
    snapshot: str


@pytest.fixture(scope="module")
def role(bootstrapped: LocalAws) -> Iterator[str]:
    """ARN of the role."""
    bootstrapped.control.reset()
    bootstrapped.control.set_quota(G_QUOTA, 16)
    stack = Stack(bootstrapped, ACCEPTANCE_ROLE)
    template = assemble(ACCEPTANCE_ROLE, github_repository=REPOSITORY).template
    assert stack.deploy("create_stack", template) == "CREATE_COMPLETE"
    yield outputs(bootstrapped, ACCEPTANCE_ROLE)["AcceptanceRoleArn"]
    assert stack.delete() == "DELETE_COMPLETE"
    assert_nothing_left(bootstrapped)


@pytest.fixture(scope="module")
def session(bootstrapped: LocalAws, role: str) -> dict[str, str]:
    return session_of(bootstrapped, role)


@pytest.fixture(scope="module")
def others(bootstrapped: LocalAws, role: str) -> Iterator[Others]:
    yield from workstation_with_an_image(bootstrapped, WORKSTATION)


@pytest.fixture(scope="module")
def ours(bootstrapped: LocalAws, role: str) -> Iterator[Others]:
    """The same of an acceptance run."""
    yield from workstation_with_an_image(bootstrapped, OURS, name=NAME)


def workstation_with_an_image(aws: LocalAws, stack_name: str, **settings: Any) -> Iterator[Others]:
    assembly = assemble(**settings)
    assembly.publish(aws)
    stack, ec2 = Stack(aws, stack_name), aws.client("ec2")
    assert stack.deploy("create_stack", assembly.template) == "CREATE_COMPLETE"
    machine = stack.outputs()["InstanceId"]
    tags = [
        {"Key": "gpustation", "Value": stack_name},
        {"Key": "gpustation:saved-from", "Value": "i"},
    ]
    image = ec2.create_image(
        InstanceId=machine,
        Name=f"saved-{stack_name}",
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
    )["ImageId"]
    ec2.get_waiter("image_available").wait(ImageIds=[image], WaiterConfig={"Delay": 1})
    (row,) = ec2.describe_images(ImageIds=[image])["Images"]
    yield Others(
        machine=machine,
        settings=stack.physical_id("Generation1MachineSettings81C4D060"),
        logs=stack.physical_id("QuotaCheckHandlerLogsA10522F3"),
        image=image,
        snapshot=row["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"],
    )
    if remove.find_image(ec2, image) is not None:
        remove.remove(ec2, image)
    delete_stack(aws, stack_name)


def calls_of(one: Others, stack: str) -> dict[str, tuple[str, str, Mapping[str, Any]]]:
    """Calls on a workstation: service, operation, arguments."""
    machine = {"InstanceIds": [one.machine]}
    tags = [{"Key": key, "Value": stack} for key in ("gpustation", "gpustation:saved-from")]
    tagged = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    image = {"InstanceId": one.machine, "Name": "mine", "TagSpecifications": tagged}
    key = {"InstanceId": one.machine, "InstanceOSUser": "ubuntu", "SSHPublicKey": PUBLIC_KEY}
    session = {"Target": one.machine, "DocumentName": "AWS-StartSSHSession"}
    return {
        "stop": ("ec2", "stop_instances", machine),
        "start": ("ec2", "start_instances", machine),
        "reboot": ("ec2", "reboot_instances", machine),
        "console": ("ec2", "get_console_output", {"InstanceId": one.machine}),
        "save": ("ec2", "create_image", image),
        "push a key": ("ec2-instance-connect", "send_ssh_public_key", key),
        "open a session": ("ssm", "start_session", session),
        "settings": ("ssm", "get_parameter", {"Name": one.settings}),
        "logs": ("logs", "filter_log_events", {"logGroupName": one.logs}),
        "events": ("cloudformation", "describe_stack_events", {"StackName": stack}),
        "deregister": ("ec2", "deregister_image", {"ImageId": one.image}),
        "delete a snapshot": ("ec2", "delete_snapshot", {"SnapshotId": one.snapshot}),
        "delete": ("cloudformation", "delete_stack", {"StackName": stack}),
    }


CALLS = [*calls_of(Others("", "", "", "", ""), "")]


@pytest.mark.parametrize("call", CALLS)
def test_fails_on_another_stacks_machine_and_image(
    bootstrapped: LocalAws, session: dict[str, str], others: Others, call: str
) -> None:
    service, operation, arguments = calls_of(others, WORKSTATION)[call]
    with pytest.raises(ClientError, match=DENIED):
        getattr(client(bootstrapped, session, service), operation)(**arguments)
    assert stack_status(bootstrapped, WORKSTATION) == "CREATE_COMPLETE"


def test_the_same_calls_are_allowed_on_an_acceptance_stacks(
    bootstrapped: LocalAws, session: dict[str, str], ours: Others
) -> None:
    """So it is refused for whose it is. Whether an allowed call then succeeds is no matter here."""
    calls, denied = calls_of(ours, OURS), []
    del calls["delete"]  # other tests need the stack; the whole run deletes its own
    del calls["logs"]  # the embedded AWS names log groups otherwise than AWS; NEEDED has AWS's name
    for call, (service, operation, arguments) in calls.items():
        try:
            answer = getattr(client(bootstrapped, session, service), operation)(**arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            denied += [call] if code in ("AccessDenied", "AccessDeniedException") else []
            denied += [call] if code == "UnauthorizedOperation" else []
        else:
            if call == "save":
                remove.remove(bootstrapped.client("ec2"), answer["ImageId"])
    assert denied == []


def test_what_it_saves_carries_an_acceptance_stacks_name(
    bootstrapped: LocalAws, session: dict[str, str], ours: Others
) -> None:
    """An image with another tag could be deleted by nobody's command, or pass for another's."""
    ec2 = client(bootstrapped, session, "ec2")
    for tags in ([], [{"Key": "gpustation", "Value": WORKSTATION}]):
        given = [{"ResourceType": "image", "Tags": tags}] if tags else []
        with pytest.raises(ClientError, match=DENIED):
            ec2.create_image(InstanceId=ours.machine, Name="mine", TagSpecifications=given)
    for resource in (ours.machine, ours.image):
        with pytest.raises(ClientError, match=DENIED):
            ec2.create_tags(Resources=[resource], Tags=[{"Key": "gpustation", "Value": OURS}])


def decision(aws: LocalAws, role: str, action: str, resource: str, *tags: str) -> str:
    """What IAM says; ``tags`` are condition keys with their values, as ``key=value``."""
    context = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, _, value in (tag.partition("=") for tag in tags)
    ]
    (result,) = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role,
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=context,
    )["EvaluationResults"]
    return str(result["EvalDecision"])


def bootstrap_role(kind: str, region: str = REGION, account: str = HERE) -> str:
    return f"arn:aws:iam::{account}:role/cdk-hnb659fds-{kind}-role-{account}-{region}"


STACKS = f"arn:aws:cloudformation:{REGION}:{HERE}:stack"
INSTANCE = f"arn:aws:ec2:{REGION}:{HERE}:instance/i-0123456789abcdef0"
IMAGE, SNAPSHOT = f"arn:aws:ec2:{REGION}::image/ami-1", f"arn:aws:ec2:{REGION}::snapshot/snap-1"
PARAMETER = f"arn:aws:ssm:{REGION}:{HERE}:parameter"
MADE_BY = "aws:ResourceTag/aws:cloudformation:stack-name"
OWNER = "aws:ResourceTag/gpustation"

NEEDED: list[tuple[str, ...]] = [
    ("cloudformation:CreateChangeSet", f"{STACKS}/{OURS}/1a2b"),
    ("cloudformation:ExecuteChangeSet", f"{STACKS}/{OUR_IMAGE}/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/{OUR_IMAGE}/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS.replace(REGION, 'eu-west-1')}/{OURS}/1a2b"),
    ("iam:PassRole", bootstrap_role("cfn-exec")),
    ("iam:PassRole", bootstrap_role("cfn-exec", "eu-west-1")),
    ("sts:AssumeRole", bootstrap_role("file-publishing")),
    ("s3:GetObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{HERE}-{REGION}/0123.json"),
    ("ssm:GetParameters", f"{PARAMETER}/cdk-bootstrap/hnb659fds/version"),
    ("ec2:StopInstances", INSTANCE, f"{MADE_BY}={OURS}"),
    ("ec2:DeregisterImage", IMAGE, f"{OWNER}={OURS}"),
    ("ssm:StartSession", f"arn:aws:ssm:{REGION}::document/AWS-StartSSHSession"),
    ("ssm:StartSession", INSTANCE, f"ssm:resourceTag/gpustation={OURS}"),
    ("logs:FilterLogEvents", f"arn:aws:logs:{REGION}:{HERE}:log-group:{OURS}-QuotaCheck-x"),
    (
        "logs:FilterLogEvents",
        f"arn:aws:logs:{REGION}:{HERE}:log-group:/aws/imagebuilder/{OUR_IMAGE}/mxnet/1",
    ),
    ("dynamodb:Scan", f"arn:aws:dynamodb:{REGION}:{HERE}:table/{OURS}-SpendLimitLedger-X"),
    ("ec2:DescribeInstances", "*"),
]


def test_what_a_run_needs_is_allowed(bootstrapped: LocalAws, role: str) -> None:
    refused = [row for row in NEEDED if decision(bootstrapped, role, *row) != "allowed"]
    assert refused == []
    assert decision(bootstrapped, role, "iam:SimulatePrincipalPolicy", role) == "allowed"


FORBIDDEN: list[tuple[str, ...]] = [
    # the bootstrap's roles, but the two above
    ("sts:AssumeRole", bootstrap_role("deploy")),
    ("sts:AssumeRole", bootstrap_role("cfn-exec")),
    ("sts:AssumeRole", bootstrap_role("lookup")),
    ("sts:AssumeRole", bootstrap_role("image-publishing")),
    ("sts:AssumeRole", bootstrap_role("file-publishing", account="210987654321")),
    ("sts:AssumeRole", f"arn:aws:iam::{HERE}:role/Admin"),
    ("iam:PassRole", bootstrap_role("deploy")),
    ("iam:PassRole", f"arn:aws:iam::{HERE}:role/Admin"),
    # other stacks, the roles' and the bootstrap's among them
    ("cloudformation:CreateChangeSet", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:CreateChangeSet", f"{STACKS}/GpuWorkstation-acceptance/1a2b"),
    ("cloudformation:CreateChangeSet", f"{STACKS}/GpuWorkstation-anna/1a2b"),
    ("cloudformation:CreateChangeSet", f"{STACKS}/MyGpuWorkstation-acceptance-1/1a2b"),
    ("cloudformation:ExecuteChangeSet", f"{STACKS}/GpuImage/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/GpuImage/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/GpuDeployRole/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/GpuAcceptanceRole/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/CDKToolkit/1a2b"),
    ("cloudformation:UpdateStack", f"{STACKS}/GpuDeployRole/1a2b"),
    ("cloudformation:CreateStack", f"{STACKS}/{OURS}/1a2b"),
    ("cloudformation:SetStackPolicy", f"{STACKS}/{OURS}/1a2b"),
    ("cloudformation:UpdateTerminationProtection", f"{STACKS}/GpuWorkstation/1a2b"),
    # machines and images, by themselves and with another's tag
    ("ec2:StopInstances", INSTANCE),
    ("ec2:StopInstances", INSTANCE, f"{MADE_BY}=GpuWorkstation"),
    ("ec2:StopInstances", INSTANCE, f"{OWNER}={OURS}"),
    ("ec2:StartInstances", INSTANCE, f"{MADE_BY}=GpuWorkstation-anna"),
    ("ec2:TerminateInstances", INSTANCE, f"{MADE_BY}={OURS}"),
    ("ec2:ModifyInstanceAttribute", INSTANCE, f"{MADE_BY}={OURS}"),
    ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{HERE}:instance/*"),
    ("ec2:CreateCapacityReservation", f"arn:aws:ec2:{REGION}:{HERE}:capacity-reservation/*"),
    ("ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{REGION}:{HERE}:security-group/sg-1"),
    ("ec2:CreateTags", INSTANCE, f"aws:RequestTag/gpustation={OURS}"),
    ("ec2:CreateTags", IMAGE, f"aws:RequestTag/gpustation={OURS}"),
    ("ec2:CreateTags", IMAGE, f"aws:RequestTag/gpustation={OURS}", "ec2:CreateAction=CopyImage"),
    ("ec2:DeregisterImage", IMAGE, f"{OWNER}=GpuWorkstation"),
    ("ec2:DeregisterImage", IMAGE, f"{OWNER}={OUR_IMAGE}"),
    ("ec2:DeleteSnapshot", SNAPSHOT),
    ("ec2:ModifyImageAttribute", IMAGE, f"{OWNER}={OURS}"),
    # ways in
    ("ec2-instance-connect:SendSSHPublicKey", INSTANCE, f"{MADE_BY}=GpuWorkstation"),
    ("ssm:StartSession", INSTANCE, "ssm:resourceTag/gpustation=GpuWorkstation"),
    (
        "ssm:StartSession",
        INSTANCE,
        f"ssm:resourceTag/gpustation={OURS}",
        "ssm:SessionDocumentAccessCheck=false",
    ),
    ("ssm:StartSession", f"arn:aws:ssm:{REGION}:{HERE}:document/SSM-SessionManagerRunShell"),
    ("ssm:StartSession", f"arn:aws:ssm:{REGION}::document/AWS-StartPortForwardingSession"),
    ("ssm:SendCommand", INSTANCE, f"ssm:resourceTag/gpustation={OURS}"),
    ("ssm:TerminateSession", f"arn:aws:ssm:{REGION}:{HERE}:session/anna-1a2b"),
    # contents
    ("ssm:GetParameter", f"{PARAMETER}/CFN-Generation1MachineSettings-x"),
    ("ssm:GetParameter", f"{PARAMETER}/database-password"),
    ("ssm:PutParameter", f"{PARAMETER}/gpustation/image/mxnet"),
    ("ssm:DeleteParameter", f"{PARAMETER}/gpustation/report/{OURS}/x"),
    ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{HERE}:secret:x"),
    ("s3:GetObject", "arn:aws:s3:::somebodys/object"),
    ("s3:PutObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{HERE}-{REGION}/0123.json"),
    ("logs:GetLogEvents", f"arn:aws:logs:{REGION}:{HERE}:log-group:GpuWorkstation-x:*"),
    ("dynamodb:Scan", f"arn:aws:dynamodb:{REGION}:{HERE}:table/GpuWorkstation-Ledger"),
    ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{HERE}:function:{OURS}-x"),
    ("lambda:GetFunction", f"arn:aws:lambda:{REGION}:{HERE}:function:{OURS}-x"),
    # identities, itself among them, and the account
    ("iam:CreateRole", f"arn:aws:iam::{HERE}:role/x"),
    ("iam:CreateUser", f"arn:aws:iam::{HERE}:user/x"),
    ("iam:PutRolePolicy", "ITSELF"),
    ("iam:UpdateAssumeRolePolicy", "ITSELF"),
    ("iam:DeleteRole", "ITSELF"),
    ("iam:DeleteOpenIDConnectProvider", f"arn:aws:iam::{HERE}:oidc-provider/x"),
    ("iam:SimulatePrincipalPolicy", f"arn:aws:iam::{HERE}:role/Admin"),
    ("servicequotas:RequestServiceQuotaIncrease", f"arn:aws:servicequotas:{REGION}:{HERE}:ec2/x"),
    ("organizations:LeaveOrganization", "*"),
]


def test_nothing_else_is_allowed(bootstrapped: LocalAws, role: str) -> None:
    allowed = [
        row
        for row in FORBIDDEN
        if decision(bootstrapped, role, row[0], role if row[1] == "ITSELF" else row[1], *row[2:])
        == "allowed"
    ]
    assert allowed == []


RUN = [
    ("up", "--yes", "-c", f"name={RUN_NAME}"),
    ("status", "--name", RUN_NAME),
    ("log", "--name", RUN_NAME),
    ("cost", "--name", RUN_NAME),
    ("quota",),
    ("regions", "g4dn.xlarge"),
    ("price",),
    ("stop", "--yes", "--name", RUN_NAME),
    ("start", "--yes", "--name", RUN_NAME),
    ("reboot", "--yes", "--name", RUN_NAME),
    ("up", "--yes", "-c", f"name={RUN_NAME}", "-c", "notebooks=false"),
    ("image", "list"),
    ("down", "--yes", "--name", RUN_NAME),
    ("leftovers", "--all-regions"),
]


@pytest.mark.tier("all")
def test_its_session_makes_a_whole_run(
    bootstrapped: LocalAws, session: dict[str, str], tmp_path: Path
) -> None:
    """Only the CLI shows that it deploys with the session if it may not assume the deploy role."""
    folder = AppFolder(bootstrapped, tmp_path)
    folder.environment |= session
    status, out, _ = folder.runs("doctor", "--json")
    marks = {row["name"]: row["mark"] for row in json.loads(out)["findings"]}
    assert {marks[name] for name in ("credentials", "region", "bootstrap", "quota")} == {"ok"}
    assert marks["permission ec2:DescribeInstances"] == "ok", "it may simulate itself"
    for words in RUN:
        status, out, err = folder.runs(*words)
        assert status == 0, (words, out, err)
        assert "AccessDenied" not in out + err, words
        if words[0] == "reboot":
            status, out, err = folder.runs("image", "save", "--yes", "--json", "--name", RUN_NAME)
            assert status == 0, err
            status, _, err = folder.runs("image", "undo", "--yes", json.loads(out)["image"])
            assert status == 0, err
    assert stack_status(bootstrapped, f"{WORKSTATION}-{RUN_NAME}") is None


@pytest.mark.tier("all")
def test_its_session_builds_an_image_and_is_refused_another_stack(
    bootstrapped: LocalAws, session: dict[str, str], tmp_path: Path
) -> None:
    job = Cdk(bootstrapped, tmp_path, session)
    stack, assembly = f"Image/{OUR_IMAGE}", ("--app", job.assembly(name=NAME))
    made = job.run("deploy", stack, *assembly, "--require-approval", "never")
    assert made.status == 0
    assert "Proceeding anyway" in made.output, "without the deploy role"
    assert job.run("destroy", stack, *assembly, "--force").status == 0
    others = ("--app", job.assembly(name="anna", with_stages=False))
    refused = job.run("deploy", *others, "--require-approval", "never")
    assert refused.status != 0
    assert "is not authorized to perform: cloudformation:" in refused.output
    assert stack_status(bootstrapped, "GpuWorkstation-anna") is None


def acceptance_stacks(aws: LocalAws) -> list[str]:
    """Of runs of the acceptance; other tests of this file have one, too."""
    stacks = aws.client("cloudformation").describe_stacks()["Stacks"]
    return sorted(row["StackName"] for row in stacks if "acceptance-" in row["StackName"])


@pytest.mark.tier("all")
def test_the_workflow_runs_the_program_with_its_session(
    bootstrapped: LocalAws, session: dict[str, str], tmp_path: Path
) -> None:
    """The job of acceptance.yml, as it stands, around the program itself: no stub of either.

    The machine is a record, so what only a machine can answer is not shown, with the reason.
    """
    before = acceptance_stacks(bootstrapped)
    tree = checkout(tmp_path / "checkout")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**bootstrapped.environment, **session, "PATH": path, "HOME": str(tmp_path)}
    done = Workflow("acceptance", tree, environment, "run").run(
        tmp_path, inputs={"account": HERE, "quick": "true"}
    )
    assert done is not None
    assert done.status == 0, done.log
    assert "5 shown, 0 failed, 1 not shown" in done.log
    assert not re.search(DENIED, done.log)
    (evidence,) = (tree / "build" / "acceptance" / "evidence").glob("*.json")
    verdicts = {row["part"]: row["verdict"] for row in json.loads(evidence.read_text())["parts"]}
    assert [name for name, verdict in verdicts.items() if verdict != "shown"] == ["compute"]
    assert acceptance_stacks(bootstrapped) == before
