"""Check of the permissions that the command needs, one by one, by IAM's own simulation.

The simulation knows the policies of the user or role and the organization's. It does not know
policies of resources and sessions, and it is asked about all resources ("*"), so that a policy for
some resources only shows as not allowed.
"""

from __future__ import annotations

import re
from typing import Any

from gpustation.doctor.finding import Finding, Mark, Subject

NEEDED = {
    "cloudformation:DescribeStacks": "all verbs",
    "cloudformation:DescribeStackEvents": "status, log",
    "cloudformation:DescribeStackResources": "image save, leftovers",
    "cloudformation:CreateChangeSet": "plan",
    "ec2:DescribeInstances": "all verbs",
    "ec2:DescribeVolumes": "status, leftovers",
    "ec2:DescribeImages": "image, leftovers",
    "ec2:DescribeSnapshots": "image, leftovers",
    "ec2:DescribeLaunchTemplates": "image list, image delete, leftovers",
    "ec2:StartInstances": "start",
    "ec2:CreateCapacityReservation": "start, where the zone is full",
    "ec2:CancelCapacityReservation": "start, where the zone is full",
    "ec2:DescribeSpotInstanceRequests": "status and start of a spot machine",
    "ec2:StopInstances": "stop",
    "ec2:RebootInstances": "reboot",
    "ec2:CreateImage": "image save",
    "ec2:DeregisterImage": "image undo, image delete",
    "ec2:DeleteSnapshot": "image undo, image delete",
    "ec2-instance-connect:SendSSHPublicKey": "ssh, jupyter",
    "ssm:StartSession": "ssh, jupyter without an open port 22",
    "ssm:GetParameter": "plan, image, doctor",
    "ssm:GetParametersByPath": "status, ssh, jupyter, image list",
    "servicequotas:GetServiceQuota": "doctor, quota",
    "servicequotas:RequestServiceQuotaIncrease": "quota request",
    "sts:AssumeRole": "cdk deploy, through the roles of the bootstrap",
}
"""Actions, and what needs them. docs/leftovers.md has those of ``leftovers``."""

ONLY_ALL = re.compile(r"[a-z-]+:(?:Describe\w+)|servicequotas:GetServiceQuota")
"""Actions that cannot be limited to some resources (but for CloudFormation's), so that a policy
that does not allow them for all does not allow them at all."""
_ASSUMED = re.compile(r"arn:(?P<partition>[\w-]+):sts::\d+:assumed-role/(?P<role>[^/]+)/.+")
_PRINCIPAL = re.compile(r"arn:[\w-]+:iam::\d+:(?:user|role)/.+")


def permissions(subject: Subject) -> list[Finding]:
    """A line for each permission; a single one if they cannot be simulated."""
    caller = subject.client("sts").get_caller_identity()["Arn"]
    if caller.endswith(":root"):
        detail = "these are the root user's credentials, which no policy of the account limits"
        cure = "use a role or user of your own for daily work"
        return [Finding("permissions", Mark.WARNING, detail, cure)]
    iam = subject.client("iam")
    principal = caller
    if assumed := _ASSUMED.fullmatch(caller):
        # The session's ARN lacks the role's path, which the simulation needs
        principal = iam.get_role(RoleName=assumed["role"])["Role"]["Arn"]
    if not _PRINCIPAL.fullmatch(principal):
        detail = f"{caller} is no user or role, so nothing can be simulated"
        return [Finding("permissions", Mark.UNKNOWN, detail)]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal, ActionNames=[*NEEDED]
    )
    decisions = {row["EvalActionName"]: row for page in pages for row in page["EvaluationResults"]}
    return [_finding(action, decisions.get(action)) for action in NEEDED]


def _finding(action: str, row: Any) -> Finding:
    name, needed_by = f"permission {action}", NEEDED[action]
    if row is None:
        return Finding(name, Mark.UNKNOWN, f"for {needed_by}: the simulation left it out")
    cure = "ask whoever administers the account for it"
    decision = row["EvalDecision"]
    if decision == "allowed":
        return Finding(name, Mark.OK, f"allowed, for {needed_by}")
    if decision == "explicitDeny":
        return Finding(name, Mark.FAILED, f"a policy denies it; for {needed_by}", cure)
    if ONLY_ALL.fullmatch(action) and not action.startswith("cloudformation:"):
        return Finding(name, Mark.FAILED, f"no policy allows it; for {needed_by}", cure)
    detail = f"not allowed for all resources, perhaps for some; for {needed_by}"
    return Finding(name, Mark.WARNING, detail, cure)
