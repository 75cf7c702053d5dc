"""Says what a deploy would do to the workstation, before it is done.

``python -m gpustation.plan`` asks CloudFormation with a change set, says the answer in plain words
and ends with an exit status for each kind of it (``Effect``). Nothing is left of the question.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from gpustation.aws.session import explain, make_session
from gpustation.change_set import REVIEW, ChangeSetError, find_stack, read_changes
from gpustation.cloud_assembly import AssemblyError, SynthesizedStack, fill, synthesize
from gpustation.interrupts import end, leave, listening, say, warn
from gpustation.stack_plan import Effect, Plan, plan_of_changes, plan_of_new, plan_of_status

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient

FAILED = 1


class PlanError(Exception):
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


def _assignment(text: str) -> str:
    key, equals, _ = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no KEY=VALUE, and the CDK CLI would ignore it; e.g. -c disk_gib=100"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    statuses = "\n".join(f"  {one.status:3}  {one.word}: {one.meaning}" for one in Effect)
    parser = argparse.ArgumentParser(
        prog="python -m gpustation.plan",
        description="Says what a deploy would do to the workstation. Nothing is changed.",
        epilog=f"exit status:\n{statuses}\n    1  no answer\n    2  wrong usage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c",
        "--context",
        metavar="KEY=VALUE",
        type=_assignment,
        action="append",
        default=[],
        help="a setting, as for `cdk deploy`; may be repeated",
    )
    parser.add_argument("-a", "--app", default="", help="the app, or its cloud assembly")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=[one.word for one in Effect if one not in (Effect.NOTHING, Effect.REFUSED)],
        help="end with 0 for this answer too; may be repeated",
    )
    return parser


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(words)
    with listening():
        try:
            plan = make_plan(make_session(), app=args.app, context=args.context)
        except KeyboardInterrupt as interrupt:
            return end("plan", interrupt)
        except PlanError as error:
            warn(f"plan: {error}")
            return FAILED
        except BotoCoreError as error:
            warn(f"plan: {explain(error)}")
            return FAILED
    say(str(plan))
    return 0 if plan.effect.word in args.allow else plan.effect.status


if __name__ == "__main__":
    leave(main())
