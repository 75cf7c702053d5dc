"""What the role of acceptance runs may do, statement by statement, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_cdk import DefaultStackSynthesizer as Bootstrap

from gpustation.catalog.names import ACCEPTANCE, IMAGE, OWNER_TAG, WORKSTATION, stack_name

STACK_TAG = "aws:cloudformation:stack-name"
"""Tag of a stack's resources that only CloudFormation can write."""

MACHINES = f"{stack_name(WORKSTATION, ACCEPTANCE)}-*"
IMAGES = f"{stack_name(IMAGE, ACCEPTANCE)}-*"
"""Names of the stacks of acceptance runs, which have the setting ``name=acceptance-...``."""

READS = {
    "cloudformation": "DescribeStackResources DescribeStacks GetTemplate ListChangeSets "
    "ListStackResources ListStacks",
    "dynamodb": "DescribeTable ListTables ListTagsOfResource",
    "ec2": "DescribeAddresses DescribeAvailabilityZones DescribeCapacityReservations "
    "DescribeImages DescribeInstanceStatus DescribeInstanceTypeOfferings DescribeInstanceTypes "
    "DescribeInstances DescribeInternetGateways DescribeKeyPairs DescribeLaunchTemplateVersions "
    "DescribeLaunchTemplates DescribeNetworkInterfaces DescribeRegions DescribeRouteTables "
    "DescribeSecurityGroups DescribeSnapshots DescribeSpotInstanceRequests "
    "DescribeSpotPriceHistory DescribeSubnets DescribeVolumes DescribeVpcs",
    "events": "ListRules ListTagsForResource ListTargetsByRule",
    "freetier": "GetAccountPlanState",
    "iam": "GetOpenIDConnectProvider ListAttachedRolePolicies ListEntitiesForPolicy "
    "ListInstanceProfileTags ListInstanceProfiles ListInstanceProfilesForRole "
    "ListOpenIDConnectProviders ListPolicies ListPolicyTags ListRolePolicies ListRoleTags "
    "ListRoles",
    "imagebuilder": "ListComponentBuildVersions ListComponents ListDistributionConfigurations "
    "ListImageBuildVersions ListImageRecipes ListImages ListInfrastructureConfigurations",
    "lambda": "ListFunctions ListTags",
    "logs": "DescribeLogGroups ListTagsForResource",
    "pricing": "GetProducts",
    "s3": "ListAllMyBuckets",
    "scheduler": "ListScheduleGroups ListSchedules ListTagsForResource",
    "servicequotas": "GetAWSDefaultServiceQuota GetRequestedServiceQuotaChange GetServiceQuota "
    "ListRequestedServiceQuotaChangeHistoryByQuota",
    "sns": "ListTagsForResource ListTopics",
    "ssm": "DescribeInstanceInformation DescribeParameters ListTagsForResource",
}
"""What is read of the whole account, by service: lists, prices and quotas, and what ``gpustation
leftovers`` asks about any resource to decide whose it is."""


@dataclass(frozen=True)
class Right:
    """A statement that allows actions.

    Attributes:
        sid: Its Sid.
        actions: The actions, as ``service:Action OtherAction``.
        resources: The ARNs, with references written as ``<AWS::AccountId>``.
        reason: Why its resources have wildcards.
        condition: Its condition. Default: none.
    """

    sid: str
    actions: str
    resources: Sequence[str]
    reason: str = ""
    condition: Mapping[str, Any] = field(default_factory=dict)

    @property
    def named_actions(self) -> list[str]:
        """The actions, each with its service."""
        named, service = [], ""
        for word in self.actions.split():
            service = word.partition(":")[0] if ":" in word else service
            named.append(f"{service}:{word.rpartition(':')[2]}")
        return named


def like(key: str, *names: str) -> dict[str, Any]:
    """A condition: the value of a key has one of these forms."""
    return {"StringLike": {key: [*names]}}


_ACCOUNT = "<AWS::AccountId>"
_INSTANCES = f"arn:<AWS::Partition>:ec2:*:{_ACCOUNT}:instance/*"
_SAVED = [f"arn:<AWS::Partition>:ec2:*::{kind}/*" for kind in ("image", "snapshot")]
_PARAMETER = f"arn:<AWS::Partition>:ssm:*:{_ACCOUNT}:parameter"
_SESSIONS = [
    f"arn:<AWS::Partition>:ssm:*:{_ACCOUNT}:session/{start}-*"
    for start in ("${aws:userid}", ACCEPTANCE)
]
_OF_MACHINES = like(f"aws:ResourceTag/{STACK_TAG}", MACHINES)
_CREATED = like(f"aws:RequestTag/{OWNER_TAG}", MACHINES)
_EVERY_REGION = "one role serves all regions, and "
_NAMED = f"{_EVERY_REGION}a stack's ARN ends with an id that is made up when the stack is"

RIGHTS = (
    Right(
        "ChangeStacks",
        "cloudformation:CreateChangeSet DeleteChangeSet DeleteStack DescribeChangeSet "
        "DescribeEvents DescribeStackEvents ExecuteChangeSet GetTemplateSummary",
        [
            f"arn:<AWS::Partition>:cloudformation:*:{_ACCOUNT}:stack/{name}/*"
            for name in (MACHINES, IMAGES)
        ],
        f"{_EVERY_REGION}the names of the stacks end with a number of the run",
    ),
    # Trusts only CloudFormation, so that it cannot be passed to anything else
    Right(
        "PassExecutionRole",
        "iam:PassRole",
        [Bootstrap.DEFAULT_CLOUDFORMATION_ROLE_ARN],
        f"{_EVERY_REGION}each has its bootstrap",
    ),
    Right(
        "PublishAssets",
        "sts:AssumeRole",
        [Bootstrap.DEFAULT_FILE_ASSET_PUBLISHING_ROLE_ARN],
        f"{_EVERY_REGION}each has its bootstrap",
    ),
    Right(
        "ReadTemplates",
        "s3:GetObject",
        [f"arn:<AWS::Partition>:s3:::{Bootstrap.DEFAULT_FILE_ASSETS_BUCKET_NAME}/*"],
        "CloudFormation reads a template in the bucket as its caller; its key is a hash",
    ),
    Right(
        "ReadBootstrapVersion",
        "ssm:GetParameter GetParameters",
        [f"{_PARAMETER}/cdk-bootstrap/${{Qualifier}}/version"],
        f"{_EVERY_REGION}each has its bootstrap",
    ),
    Right(
        "UseMachines",
        "ec2:CreateImage GetConsoleOutput RebootInstances StartInstances StopInstances",
        [_INSTANCES],
        "the tag decides, which only CloudFormation can write",
        _OF_MACHINES,
    ),
    Right(
        "CancelSpotRequests",
        "ec2:CancelSpotInstanceRequests",
        [f"arn:<AWS::Partition>:ec2:*:{_ACCOUNT}:spot-instances-request/*"],
        "the tag decides, which the launch template gives",
        like(f"aws:ResourceTag/{OWNER_TAG}", MACHINES),
    ),
    Right(
        "PushKeys",
        "ec2-instance-connect:SendSSHPublicKey",
        [_INSTANCES],
        "the tag decides, which only CloudFormation can write",
        _OF_MACHINES,
    ),
    Right(
        "SaveImages",
        "ec2:CreateImage",
        _SAVED,
        "they do not exist yet; the tag that they get decides",
        _CREATED,
    ),
    Right(
        "TagSavedImages",
        "ec2:CreateTags",
        _SAVED,
        "only while CreateImage creates them",
        {**_CREATED, "StringEquals": {"ec2:CreateAction": "CreateImage"}},
    ),
    Right(
        "DeleteSavedImages",
        "ec2:DeleteSnapshot DeregisterImage",
        _SAVED,
        "the tag decides, which they got when they were saved",
        like(f"aws:ResourceTag/{OWNER_TAG}", MACHINES),
    ),
    # Without the check of the document every session could be a shell
    Right(
        "StartSessions",
        "ssm:StartSession",
        [_INSTANCES],
        "the tag decides, and the document must be allowed too",
        {
            **like(f"ssm:resourceTag/{OWNER_TAG}", MACHINES),
            "BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"},
        },
    ),
    Right(
        "UseSshDocument",
        "ssm:StartSession",
        ["arn:<AWS::Partition>:ssm:*:*:document/AWS-StartSSHSession"],
        "a document of AWS's, in every region",
    ),
    Right(
        "OpenSessions",
        "ssmmessages:OpenDataChannel",
        _SESSIONS,
        "a session's id begins with its owner's id, or with the name of the job's session",
    ),
    Right(
        "EndSessions",
        "ssm:ResumeSession TerminateSession",
        _SESSIONS,
        "a session's id begins with its owner's id, or with the name of the job's session",
    ),
    Right(
        "ReadParameters",
        "ssm:GetParameter GetParametersByPath",
        [f"{_PARAMETER}/{OWNER_TAG}", f"{_PARAMETER}/{OWNER_TAG}/*"],
        "reports, notices and images are listed for a whole region with one call",
    ),
    Right(
        "ReadMachineSettings",
        "ssm:GetParameter",
        [f"{_PARAMETER}/CFN-*"],
        "CloudFormation's name does not contain the stack's, so the tag decides",
        like(f"aws:ResourceTag/{OWNER_TAG}", MACHINES),
    ),
    Right(
        "ReadLogs",
        "logs:DescribeLogStreams FilterLogEvents GetLogEvents",
        [
            f"arn:<AWS::Partition>:logs:*:{_ACCOUNT}:log-group:{name}"
            for name in (MACHINES, IMAGES, f"/aws/imagebuilder/{IMAGES}")
        ],
        "CloudFormation makes up the end of a log group's name",
    ),
    Right(
        "ReadLedger",
        "dynamodb:Scan",
        [f"arn:<AWS::Partition>:dynamodb:*:{_ACCOUNT}:table/{MACHINES}"],
        "CloudFormation makes up the end of a table's name",
    ),
    # The pattern of its name, as a policy of the role cannot refer to the role itself
    Right(
        "SimulateItself",
        "iam:GetRole SimulatePrincipalPolicy",
        [f"arn:<AWS::Partition>:iam::{_ACCOUNT}:role/<AWS::StackName>-*"],
        "CloudFormation makes up the end of the role's name",
    ),
    Right(
        "ReadAccount",
        " ".join(f"{service}:{actions}" for service, actions in READS.items()),
        ["*"],
        "IAM knows no limit for most of these reads, and leftovers can have any name",
    ),
)
"""What the role may do: exactly what ``python -m acceptance`` calls, by the verbs that it runs."""
