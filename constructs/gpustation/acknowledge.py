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
