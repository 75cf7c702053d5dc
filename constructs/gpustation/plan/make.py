"""Makes the plan of a deploy: synthesizes the app and reads a temporary change set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.plan.assembly import AssemblyError, SynthesizedStack, fill, synthesize
from gpustation.plan.budget import with_budget
from gpustation.plan.change_set import (
    MAX_TEMPLATE_BYTES,
    REVIEW,
    ChangeSetError,
    body_of,
    find_stack,
    read_changes,
)
from gpustation.plan.judgement import Plan, plan_of_changes, plan_of_new, plan_of_status
from gpustation.plan.template_upload import upload

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient


class PlanError(CommandError):
    """The plan could not be made; the message says why in one line."""


def make_plan(session: boto3.Session, *, app: str = "", context: Sequence[str] = ()) -> Plan:
    """Plan a deploy from the current folder.

    Args:
        session: Account, region and credentials, the same as for the CDK CLI.
        app: The CDK CLI's ``--app``: a command, or a cloud assembly. Default: that of
            ``cdk.json``.
        context: Settings as ``key=value``.

    Raises:
        PlanError: The app cannot be synthesized, or a call to AWS fails.
    """
    try:
        return _plan(session, synthesize(app=app, context=context))
    except (AssemblyError, ChangeSetError, ValueError) as error:
        raise PlanError(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise PlanError(explain(error)) from error


def _plan(session: boto3.Session, stack: SynthesizedStack) -> Plan:
    environment = _environment(session)
    stack = replace(stack, execution_role=fill(stack.execution_role, environment))
    cloudformation = _client(session, fill(stack.deploy_role, environment))
    deployed = find_stack(cloudformation, stack.name)
    if deployed and (plan := plan_of_status(stack, deployed)):
        return plan
    if stack.asset and len(body_of(stack).encode()) > MAX_TEMPLATE_BYTES:
        places = {
            name: fill(getattr(stack.asset, name), environment)
            for name in ("bucket", "key", "role")
        }
        url = upload(session, replace(stack.asset, **places), os.environ)
        stack = replace(stack, template_url=url)
    changes = read_changes(cloudformation, stack, deployed)
    if deployed is None or deployed.status == REVIEW:
        return plan_of_new(stack)
    old = cloudformation.get_template(StackName=stack.name)["TemplateBody"]
    return with_budget(session, cloudformation, stack, plan_of_changes(stack, changes, old))


def _environment(session: boto3.Session) -> dict[str, str]:
    """Account, region and partition for the placeholders in a cloud assembly."""
    sts = session.client("sts")
    identity = sts.get_caller_identity()
    return {
        "Partition": identity["Arn"].split(":")[1],
        "AccountId": identity["Account"],
        "Region": sts.meta.region_name,
    }


def _client(session: boto3.Session, role: str) -> CloudFormationClient:
    """Client with the CDK CLI's deploy role, the only role that many users may assume.

    Like the CLI, it falls back to the session's own credentials if it may not assume the role.
    """
    if not role:
        return session.client("cloudformation")
    try:
        response = session.client("sts").assume_role(
            RoleArn=role, RoleSessionName="gpustation-plan"
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return session.client("cloudformation")
    credentials = response["Credentials"]
    return session.client(
        "cloudformation",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
