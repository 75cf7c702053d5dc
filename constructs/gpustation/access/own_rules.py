"""Adds and finds the rules of ``gpustation allow-my-ip`` (``gpustation.aws.own_rules``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gpustation.aws.own_rules import (
    PREFIX,
    STAMP,
    Group,
    OwnRule,
    group_of,
    permission,
    remove,
)
from gpustation.catalog.names import OWNER_TAG
from gpustation.console.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from gpustation.workstation.machine import Machine

_STACK_TAG = "aws:cloudformation:stack-name"


def read_group(ec2: EC2Client, stack: str, machine: Machine) -> Group:
    """The security group of the machine that its stack has made.

    Raises:
        CommandError: Its only groups are somebody else's.
        ClientError: AWS refused the call.
    """
    groups = ec2.describe_security_groups(GroupIds=[*machine.groups])["SecurityGroups"]
    for group in groups:
        tags = {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}
        if tags.get(_STACK_TAG, tags.get("gpustation")) == stack:
            return group_of(group)
    raise CommandError(
        f"the security groups of {machine.instance_id} ({', '.join(machine.groups)}) were not made "
        f"by the stack {stack}; open port 22 where they are made"
    )


def read_all(ec2: EC2Client) -> list[OwnRule]:
    """The rules of this verb in all security groups of this project.

    Raises:
        ClientError: AWS refused the call.
    """
    pages = ec2.get_paginator("describe_security_groups").paginate(
        Filters=[{"Name": "tag-key", "Values": [OWNER_TAG]}]
    )
    return [rule for page in pages for row in page["SecurityGroups"] for rule in group_of(row).own]


def add(ec2: EC2Client, rule: OwnRule, known: Iterable[OwnRule] = ()) -> None:
    """Add a rule; an older one of this verb for the same address is replaced.

    Raises:
        ClientError: AWS refused it.
    """
    for old in known:
        if old.address == rule.address:
            remove(ec2, old)
    ec2.authorize_security_group_ingress(
        GroupId=rule.group_id,
        IpPermissions=[permission(rule.address, f"{PREFIX}{rule.until:{STAMP}}")],
    )
