"""Acknowledges a finding of a validation, next to the resource that it is about."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Validations
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
