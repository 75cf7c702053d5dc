"""Acknowledges findings of validations next to the resource that they are about.

CDK's validations (built-in and cdk-nag) read the construct tree, checkov reads the template.
"""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnResource, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledges findings, each with its reason.

    Args:
        construct: Construct of the findings; its descendants are included.
        reasons: Reason by id of the finding, as in the report.
    """
    acknowledgments = [Acknowledgment(id=finding, reason=why) for finding, why in reasons.items()]
    Validations.of(construct).acknowledge(*acknowledgments)


def acknowledge_wildcards(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledges policy statements whose resource contains a wildcard.

    A test requires the Sid of each such statement in a reason (tests/infra/test_wildcards.py).

    Args:
        construct: The role.
        reasons: Reason by resource, with references written as ``<AWS::Region>``. A reason begins
            with the Sids of its statements.
    """
    acknowledge(
        construct,
        {
            f"AwsSolutions::AwsSolutions-IAM5[Resource::{resource}]": reason
            for resource, reason in reasons.items()
        },
    )


def acknowledge_checkov(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledges findings of checkov in the resource's Metadata, which CloudFormation ignores.

    Args:
        construct: The resource, or a construct that has it as its default child.
        reasons: Reason by checkov's id, e.g. ``CKV_AWS_158``. Pass all findings of a resource at
            once, as a second call overwrites the first.

    Raises:
        ValueError: There is no such resource.
    """
    resource = construct.node.default_child or construct
    if not isinstance(resource, CfnResource):
        raise ValueError(f"{construct.node.path} must be a resource or have one as default child")
    skipped = [{"id": finding, "comment": reason} for finding, reason in reasons.items()]
    resource.add_metadata("checkov", {"skip": skipped})
