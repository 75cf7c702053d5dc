"""Finds workstations by their stacks: the name of the stack, and its description.

A stack of another app that contains the construct ``GpuWorkstation`` is found by its name only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.catalog.names import WORKSTATION, WORKSTATION_DESCRIPTION, name_in
from gpustation.console.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef


@dataclass(frozen=True)
class Workstation:
    """The stack of a workstation.

    Attributes:
        stack: Name of the stack.
        status: Its status in CloudFormation.
        instance_id: Id of its machine; empty if it has none, e.g. during the first deploy.
        outputs: Its outputs.
        changed: When it was last updated, or else created.
        stack_id: Id of the stack. Default: unknown.
    """

    stack: str
    status: str
    instance_id: str
    outputs: Mapping[str, str]
    changed: datetime
    stack_id: str = ""

    @property
    def busy(self) -> bool:
        """Whether CloudFormation is working on the stack."""
        return self.status.endswith("_IN_PROGRESS")


def find_all(cloudformation: CloudFormationClient) -> list[Workstation]:
    """The workstations of the account in the client's region, sorted by stack."""
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [stack for page in pages for stack in page["Stacks"]]
    return sorted(
        (_workstation(stack) for stack in stacks if _is_ours(stack)), key=lambda one: one.stack
    )


def find_one(cloudformation: CloudFormationClient, stack: str) -> Workstation:
    """The workstation of the stack with this name.

    Raises:
        CommandError: There is no such stack.
    """
    description = _describe(cloudformation, stack)
    if description is None:
        region = cloudformation.meta.region_name
        raise CommandError(
            f"there is no stack {stack} in {region}; `gpustation status` lists the workstations of "
            "a region, --region selects another"
        )
    return _workstation(description)


def is_gone(cloudformation: CloudFormationClient, stack: str) -> bool:
    """Whether there is no stack with this name."""
    return _describe(cloudformation, stack) is None


def _describe(cloudformation: CloudFormationClient, stack: str) -> StackTypeDef | None:
    try:
        (description,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None
    return None if description["StackStatus"] == "DELETE_COMPLETE" else description


def _is_ours(stack: StackTypeDef) -> bool:
    """Whether name and description are those of our stack."""
    name = stack["StackName"]
    ours = name.startswith(WORKSTATION) and name_in(name) is not None
    return ours and stack.get("Description") == WORKSTATION_DESCRIPTION


def _workstation(stack: StackTypeDef) -> Workstation:
    outputs = {row["OutputKey"]: row["OutputValue"] for row in stack.get("Outputs", [])}
    return Workstation(
        stack=stack["StackName"],
        status=stack["StackStatus"],
        instance_id=outputs.get("InstanceId", ""),
        outputs=outputs,
        changed=stack.get("LastUpdatedTime") or stack["CreationTime"],
        stack_id=stack.get("StackId", ""),
    )
