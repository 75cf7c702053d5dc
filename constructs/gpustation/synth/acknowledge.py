"""Acknowledges a finding of a validation, next to the resource that it is about.

CDK's validations (its own and cdk-nag) read the construct tree, checkov reads the template.
"""

from __future__ import annotations

from aws_cdk import Acknowledgment, CfnResource, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledges findings by id, each with the reason why it stays.

    Args:
        construct: What the findings are about; they are acknowledged below it too.
        reasons: Reason by id of the finding, as its report spells the id.
    """
    for finding, reason in reasons.items():
        Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def acknowledge_wildcards(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Says why statements allow something on a resource with a wildcard in it.

    A test wants each such statement named by its Sid in a reason (tests/infra/test_wildcards.py).

    Args:
        construct: The role.
        reasons: Reason by resource, references in it as ``<AWS::Region>``; it begins with the
            Sids of the statements that it is about.
    """
    findings = {f"AwsSolutions::AwsSolutions-IAM5[Resource::{on}]": on for on in reasons}
    acknowledge(construct, {finding: reasons[on] for finding, on in findings.items()})


def acknowledge_checkov(construct: IConstruct, reasons: dict[str, str]) -> None:
    """Acknowledges findings of checkov, in the resource's metadata, where it looks for them.

    CloudFormation ignores them there: they change no property and replace nothing.

    Args:
        construct: The resource, or the construct that has it as its default child.
        reasons: Reason by checkov's id, e.g. ``CKV_AWS_158``; all of the resource at once.

    Raises:
        ValueError: There is no such resource.
    """
    resource = construct.node.default_child or construct
    if not isinstance(resource, CfnResource):
        raise ValueError(f"{construct.node.path} must be a resource or have one as default child")
    skipped = [{"id": finding, "comment": reason} for finding, reason in reasons.items()]
    resource.add_metadata("checkov", {"skip": skipped})
