"""Asks CloudFormation with a change set, of which nothing is left, what a deploy would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.session import explain
from gpustation.console.errors import CommandError
from gpustation.plan.assembly import AssemblyError, SynthesizedStack, fill, synthesize
from gpustation.plan.change_set import REVIEW, ChangeSetError, find_stack, read_changes
from gpustation.plan.judgement import Plan, plan_of_changes, plan_of_new, plan_of_status

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient


class PlanError(CommandError):
    """Why there is no plan, in one line."""


def make_plan(session: boto3.Session, *, app: str = "", context: Sequence[str] = ()) -> Plan:
    """Ask what a deploy from the current folder would do.

    Args:
        session: Account, region and credentials, as the CDK CLI has them too.
        app: The CDK CLI's ``--app``: a command, or a cloud assembly. Default: that of
            ``cdk.json``.
        context: Settings as ``key=value``.

    Raises:
        PlanError: The app cannot be synthesized, or CloudFormation does not answer.
    """
    try:
        return _plan(session, synthesize(app=app, context=context))
    except (AssemblyError, ChangeSetError, ValueError) as error:
        raise PlanError(str(error)) from error
    except (ClientError, BotoCoreError) as error:
        raise PlanError(explain(error)) from error


def _plan(session: boto3.Session, stack: SynthesizedStack) -> Plan:
    place = _placeholders(session)
    stack = replace(stack, execution_role=fill(stack.execution_role, place))
    cloudformation = _client(session, fill(stack.deploy_role, place))
    deployed = find_stack(cloudformation, stack.name)
    if deployed and (plan := plan_of_status(stack, deployed)):
        return plan
    changes = read_changes(cloudformation, stack, deployed)
    if deployed is None or deployed.status == REVIEW:
        return plan_of_new(stack)
    old = cloudformation.get_template(StackName=stack.name)["TemplateBody"]
    return plan_of_changes(stack, changes, old)


def _placeholders(session: boto3.Session) -> dict[str, str]:
    """What stands for account, region and partition in the ARNs of a cloud assembly."""
    sts = session.client("sts")
    identity = sts.get_caller_identity()
    return {
        "Partition": identity["Arn"].split(":")[1],
        "AccountId": identity["Account"],
        "Region": sts.meta.region_name,
    }


def _client(session: boto3.Session, role: str) -> CloudFormationClient:
    """Acts as the role that the CDK CLI deploys with: who may deploy may often do no more.

    Like the CLI, it goes on with the credentials that it has where it may not take the role.
    """
    if not role:
        return session.client("cloudformation")
    try:
        told = session.client("sts").assume_role(RoleArn=role, RoleSessionName="gpustation-plan")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException"):
            raise
        return session.client("cloudformation")
    credentials = told["Credentials"]
    return session.client(
        "cloudformation",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
