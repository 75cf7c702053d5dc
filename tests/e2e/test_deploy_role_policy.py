"""What the deploy role's session may do, according to IAM itself.

The role is in the embedded AWS as ``cdk deploy`` makes it. ``SimulatePrincipalPolicy`` uses the
evaluator that also decides about every call. Whom the role trusts is asserted on the template
(tests/infra/test_gpu_deploy_role_stack.py). What this evaluator cannot show:

- It is ministack's, not AWS's: no service control policies, resource control policies or
  permissions boundaries of an organization, which could only forbid more.
- A simulation looks at the role's own policies. A policy of a resource (a bucket's, a key's) that
  names the role would allow more on AWS; ours name no role, the bootstrap's trust the account.
- Which resource an action is authorized on is the test's statement, from AWS's service
  authorization reference; the simulator does not know which actions take one.
- What the two bootstrap roles may do is the bootstrap's: whoever acts as its deploy role can have
  CloudFormation delete any stack. That is allowed on purpose, and said in docs/decisions/0007.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.e2e.github_job import REPOSITORY, client, outputs, session_of
from tests.support.cdk_cli import Cdk, delete_stack
from tests.support.synthesis import make_app

HERE = "123456789012"
REGION = "us-east-1"
BUCKET = f"arn:aws:s3:::cdk-hnb659fds-assets-{HERE}-{REGION}"
STACKS = f"arn:aws:cloudformation:{REGION}:{HERE}:stack"


def bootstrap_role(
    kind: str, qualifier: str = "hnb659fds", account: str = HERE, region: str = REGION
) -> str:
    return f"arn:aws:iam::{account}:role/cdk-{qualifier}-{kind}-role-{account}-{region}"


@pytest.fixture(scope="module")
def role(bootstrapped: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """ARN of the role."""
    folder = tmp_path_factory.mktemp("policy")
    cdk = Cdk(bootstrapped, folder)
    assembly = str(folder / "role")
    make_app(outdir=assembly, github_repository=REPOSITORY).synth()
    stack = ("Ci/GpuDeployRole", "--app", assembly)
    assert cdk.run("deploy", *stack, "--require-approval", "never").status == 0
    yield outputs(bootstrapped, "GpuDeployRole")["DeployRoleArn"]
    delete_stack(bootstrapped, "GpuDeployRole")
    assert bootstrapped.inventory() == []


def decision(aws: LocalAws, role: str, action: str, resource: str) -> str:
    (result,) = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
    )["EvaluationResults"]
    return str(result["EvalDecision"])


NEEDED = [
    ("sts:AssumeRole", bootstrap_role("deploy")),
    ("sts:AssumeRole", bootstrap_role("file-publishing")),
    ("cloudformation:DescribeStacks", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:DescribeStacks", f"{STACKS}/GpuImage/1a2b"),
    ("cloudformation:GetTemplate", f"{STACKS}/GpuWorkstation/1a2b"),
]


@pytest.mark.parametrize(("action", "resource"), NEEDED)
def test_what_a_deploy_and_a_destroy_need_is_allowed(
    bootstrapped: LocalAws, role: str, action: str, resource: str
) -> None:
    assert decision(bootstrapped, role, action, resource) == "allowed"


FORBIDDEN = [
    ("sts:AssumeRole", bootstrap_role("cfn-exec")),
    ("sts:AssumeRole", bootstrap_role("lookup")),
    ("sts:AssumeRole", bootstrap_role("image-publishing")),
    ("sts:AssumeRole", bootstrap_role("deploy", qualifier="other0000")),
    ("sts:AssumeRole", bootstrap_role("deploy", account="210987654321")),
    ("sts:AssumeRole", bootstrap_role("deploy", region="eu-west-1")),
    ("sts:AssumeRole", bootstrap_role("deploy") + "-too"),
    ("sts:AssumeRole", f"arn:aws:iam::{HERE}:role/Admin"),
    ("sts:AssumeRole", "*"),
    ("sts:TagSession", bootstrap_role("deploy")),
    ("sts:GetFederationToken", f"arn:aws:sts::{HERE}:federated-user/x"),
    ("iam:PassRole", bootstrap_role("cfn-exec")),
    ("iam:PassRole", f"arn:aws:iam::{HERE}:role/Admin"),
    ("iam:CreateUser", f"arn:aws:iam::{HERE}:user/x"),
    ("iam:CreateAccessKey", f"arn:aws:iam::{HERE}:user/x"),
    ("iam:CreateRole", f"arn:aws:iam::{HERE}:role/x"),
    ("iam:AttachRolePolicy", f"arn:aws:iam::{HERE}:role/x"),
    ("iam:UpdateAssumeRolePolicy", "ITSELF"),
    ("iam:PutRolePolicy", "ITSELF"),
    ("iam:UpdateRole", "ITSELF"),
    ("iam:DeleteRole", "ITSELF"),
    ("iam:AddClientIDToOpenIDConnectProvider", "PROVIDER"),
    ("iam:UpdateOpenIDConnectProviderThumbprint", "PROVIDER"),
    ("iam:DeleteOpenIDConnectProvider", "PROVIDER"),
    ("iam:CreateOpenIDConnectProvider", "PROVIDER"),
    ("cloudformation:CreateStack", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:CreateChangeSet", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:ExecuteChangeSet", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/GpuWorkstation/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/Other/1a2b"),
    ("cloudformation:DeleteStack", f"{STACKS}/GpuDeployRole/1a2b"),
    ("cloudformation:DescribeStacks", f"{STACKS}/Other/1a2b"),
    ("cloudformation:DescribeStacks", f"{STACKS}/GpuWorkstation2/1a2b"),
    ("cloudformation:DescribeStacks", f"{STACKS}/GpuDeployRole/1a2b"),
    ("cloudformation:DescribeStacks", "*"),
    ("cloudformation:GetTemplate", f"{STACKS}/CDKToolkit/1a2b"),
    ("cloudformation:DescribeStackResources", f"{STACKS}/GpuWorkstation/1a2b"),
    ("ec2:RunInstances", f"arn:aws:ec2:{REGION}:{HERE}:instance/*"),
    ("ec2:StartInstances", f"arn:aws:ec2:{REGION}:{HERE}:instance/i-0123456789abcdef0"),
    ("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{HERE}:instance/i-0123456789abcdef0"),
    ("ec2:DeregisterImage", f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"),
    ("ec2:DeleteSnapshot", f"arn:aws:ec2:{REGION}::snapshot/snap-0123456789abcdef0"),
    ("ec2:AuthorizeSecurityGroupIngress", f"arn:aws:ec2:{REGION}:{HERE}:security-group/sg-1"),
    ("ec2:DescribeInstances", "*"),
    ("ec2-instance-connect:SendSSHPublicKey", f"arn:aws:ec2:{REGION}:{HERE}:instance/i-01"),
    ("ssm:StartSession", f"arn:aws:ec2:{REGION}:{HERE}:instance/i-0123456789abcdef0"),
    ("ssm:SendCommand", f"arn:aws:ec2:{REGION}:{HERE}:instance/i-0123456789abcdef0"),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{HERE}:parameter/CFN-Settings-1"),
    ("ssm:GetParameter", f"arn:aws:ssm:{REGION}:{HERE}:parameter/cdk-bootstrap/hnb659fds/version"),
    ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{HERE}:parameter/gpustation/image/mxnet"),
    ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{HERE}:secret:x"),
    ("s3:GetObject", f"{BUCKET}/asset.zip"),
    ("s3:PutObject", f"{BUCKET}/asset.zip"),
    ("s3:ListBucket", BUCKET),
    ("logs:GetLogEvents", f"arn:aws:logs:{REGION}:{HERE}:log-group:/aws/imagebuilder/x:*"),
    ("lambda:InvokeFunction", f"arn:aws:lambda:{REGION}:{HERE}:function:x"),
    ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{REGION}:{HERE}:function:x"),
    ("servicequotas:RequestServiceQuotaIncrease", f"arn:aws:servicequotas:{REGION}:{HERE}:ec2/x"),
    ("organizations:LeaveOrganization", "*"),
]
assert len(FORBIDDEN) >= 20


def test_nothing_else_is_allowed(bootstrapped: LocalAws, role: str) -> None:
    names = {
        "ITSELF": role,
        "PROVIDER": f"arn:aws:iam::{HERE}:oidc-provider/token.actions.githubusercontent.com",
    }
    allowed = [
        (action, resource)
        for action, resource in FORBIDDEN
        if decision(bootstrapped, role, action, names.get(resource, resource)) == "allowed"
    ]
    assert allowed == []


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        (
            "ec2",
            "run_instances",
            {"ImageId": "ami-1", "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1},
        ),
        ("iam", "create_user", {"UserName": "x"}),
        ("cloudformation", "delete_stack", {"StackName": "GpuDeployRole"}),
        ("ssm", "get_parameter", {"Name": "/cdk-bootstrap/hnb659fds/version"}),
        ("s3", "list_objects_v2", {"Bucket": BUCKET.rpartition(":")[2]}),
        (
            "sts",
            "assume_role",
            {"RoleArn": bootstrap_role("cfn-exec"), "RoleSessionName": "job"},
        ),
        (
            "sts",
            "assume_role",
            {"RoleArn": bootstrap_role("lookup"), "RoleSessionName": "job"},
        ),
    ],
)
def test_its_session_is_refused_when_it_calls(
    bootstrapped: LocalAws, role: str, service: str, call: str, arguments: dict[str, Any]
) -> None:
    """The calls themselves, so that the simulation is not all that is believed."""
    session = session_of(bootstrapped, role)
    with pytest.raises(ClientError, match=r"AccessDenied|UnauthorizedOperation"):
        getattr(client(bootstrapped, session, service), call)(**arguments)
