"""The IAM roles of Image Builder: for its build machines, and for deleting images."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_imagebuilder as imagebuilder
from aws_cdk import aws_logs as logs
from constructs import Construct

from gpustation.catalog.images import FRAMEWORK_TAG
from gpustation.synth.acknowledge import acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.file_asset import FileAsset
from gpustation.synth.session_manager import SESSION_MANAGER_ACTIONS, WRITES_BY_NO_RESOURCE

_RUN_COMMAND_ACTIONS = [
    # Used by Image Builder if the SSM agent uses the older message channel
    "ec2messages:AcknowledgeMessage",
    "ec2messages:DeleteMessage",
    "ec2messages:FailMessage",
    "ec2messages:GetEndpoint",
    "ec2messages:GetMessages",
    "ec2messages:SendReply",
]
_MADE_BY_IMAGE_BUILDER = {"aws:ResourceTag/CreatedBy": "EC2 Image Builder"}


def allow_building(
    role: iam.Role,
    *,
    component: imagebuilder.CfnComponent,
    asset: FileAsset,
    log_group: logs.CfnLogGroup,
) -> None:
    """Grants the permissions that the build and test machines need.

    A subset of the managed policies ``EC2InstanceProfileForImageBuilder`` and
    ``AmazonSSMManagedInstanceCore``, which allow all components, all log groups under
    ``/aws/imagebuilder/`` and all parameters of the account.

    Args:
        role: Role of the machines.
        component: Component that the machines run.
        asset: Archive of the scripts.
        log_group: Log group of the builds. The service first tries to create the group, and logs
            nothing if that is denied, even if the group exists (Image Builder's roadmap, #109).
            The policy refers to the group, so it is deleted first, and the service cannot create
            the group again after the stack is deleted.
    """
    stack = Stack.of(role)
    scripts = f"arn:{stack.partition}:s3:::{asset.bucket_name}/{asset.object_key}"
    tool = f"arn:{stack.partition}:s3:::ec2imagebuilder*"
    statements = {
        "TakeCommands": ([*SESSION_MANAGER_ACTIONS, *_RUN_COMMAND_ACTIONS], "*"),
        "ReadComponent": (["imagebuilder:GetComponent"], component.attr_arn),
        "ReadTool": (["s3:GetObject"], tool),
        "ReadScripts": (["s3:GetObject"], scripts),
        # The attribute ends with ":*": this one group and all of its streams
        "WriteLogs": (
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            log_group.attr_arn,
        ),
    }
    for sid, (actions, resource) in statements.items():
        role.add_to_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=[resource]))
    acknowledge_wildcards(
        role,
        {
            "*": "TakeCommands: the actions by which Systems Manager gives its commands take no "
            "resource (service authorization reference)",
            "arn:<AWS::Partition>:s3:::ec2imagebuilder*": "ReadTool: AWS's own buckets with the "
            "tool that runs components; their names differ by region",
        },
    )
    acknowledge_checkov(
        role.node.find_child("DefaultPolicy"), {"CKV_AWS_111": WRITES_BY_NO_RESOURCE}
    )


def deletion_role(
    scope: Construct, construct_id: str, name: str, tags: Mapping[str, str]
) -> iam.Role:
    """Role with which Image Builder deletes an image that it built, and its snapshots.

    A subset of ``EC2ImageBuilderLifecycleExecutionPolicy``: only images of this project, no
    containers, no disabling of images. A condition requires the framework tag with any value, so
    that the role can delete an old image of another framework.

    Args:
        scope: Construct that owns the role.
        construct_id: ID unique within the scope.
        name: Name of the recipe, which is also that of the images.
        tags: Tags that are the same on all versions of the image, e.g. its owner.
    """
    stack = Stack.of(scope)
    role = iam.Role(
        scope,
        construct_id,
        assumed_by=iam.ServicePrincipal(
            "imagebuilder.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        ),
    )
    ec2 = f"arn:{stack.partition}:ec2:{stack.region}:"
    images = f"arn:{stack.partition}:imagebuilder:{stack.region}:{stack.account}:image/{name}/*"
    made = {"StringEquals": _MADE_BY_IMAGE_BUILDER}
    owner = {f"aws:ResourceTag/{key}": value for key, value in tags.items()}
    ownership = {
        "StringEquals": _MADE_BY_IMAGE_BUILDER | owner,
        "Null": {f"aws:ResourceTag/{FRAMEWORK_TAG}": "false"},
    }
    statements: list[tuple[str, list[str], str, dict[str, dict[str, str]] | None]] = [
        ("DeleteImages", ["ec2:DeregisterImage"], f"{ec2}:image/*", ownership),
        ("ReadImages", ["ec2:DescribeImageAttribute"], f"{ec2}:image/*", ownership),
        # Image Builder adds the recipe's tags only to images; snapshots have just its own tags
        ("DeleteSnapshots", ["ec2:DeleteSnapshot"], f"{ec2}:snapshot/*", made),
        ("ForgetImages", ["imagebuilder:DeleteImage"], images, None),
        ("FindImages", ["ec2:DescribeImages", "tag:GetResources"], "*", None),
    ]
    for sid, actions, resource, conditions in statements:
        role.add_to_policy(
            iam.PolicyStatement(
                sid=sid, actions=actions, resources=[resource], conditions=conditions
            )
        )
    known_later = "ids are known only once an image is made; conditions on its tags name its maker"
    place = "<AWS::Partition>:ec2:<AWS::Region>:"
    versions = f"<AWS::Partition>:imagebuilder:<AWS::Region>:<AWS::AccountId>:image/{name}/*"
    acknowledge_wildcards(
        role,
        {
            "*": "FindImages: these two find things and take no resource",
            f"arn:{place}:image/*": f"DeleteImages, ReadImages: {known_later}, and us",
            f"arn:{place}:snapshot/*": f"DeleteSnapshots: {known_later}",
            f"arn:{versions}": "ForgetImages: all versions of this one image",
        },
    )
    return role
