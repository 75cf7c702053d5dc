"""Events of a CloudFormation stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef

_BEGUN = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
"""Statuses of the stack itself with which an operation begins."""


def operation_events(cloudformation: CloudFormationClient, stack: str) -> list[StackEventTypeDef]:
    """Events of the stack's last operation, oldest first."""
    events: list[StackEventTypeDef] = []
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack)
    for page in pages:
        for event in page["StackEvents"]:
            events.append(event)
            whole = event.get("PhysicalResourceId") == event["StackId"]
            if whole and event.get("ResourceStatus") in _BEGUN:
                return events[::-1]
    return events[::-1]
