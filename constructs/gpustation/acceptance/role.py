"""IAM role for acceptance runs from GitHub Actions, limited to the stacks of such runs."""

from __future__ import annotations

from typing import Any

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from gpustation.acceptance.rights import RIGHTS, Right
from gpustation.synth.acknowledge import acknowledge_wildcards
from gpustation.synth.github_trust import job_subject, policy_document, trust_of_jobs

SESSION = Duration.hours(3)
"""Maximum session duration: the job's time limit of 150 minutes, and a reserve. The hour of role
chaining does not matter, as only assets are uploaded with a role assumed from the session."""


class AcceptanceRole(Construct):
    """IAM role that only jobs of one GitHub repository in one of its environments can assume.

    It may deploy, use and delete ``GpuWorkstation-acceptance-*`` and ``GpuImage-acceptance-*``, in
    every region of the account. Unlike ``DeployRole`` it may not assume the bootstrap's deploy
    role, which may change every stack: the CDK CLI then deploys with the session itself, and IAM
    compares the name of the stack. What a template contains is not limited, because CloudFormation
    acts with the bootstrap's execution role (docs/decisions/0007-the-deploy-role.md).

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. Changing it replaces the role and its ARN.
        repository: ``owner/name`` or ``owner@id/name@id``, as in the subject of the tokens.
        environment: Name of the environment, as in the workflow.
        provider_arn: The account's OIDC identity provider for GitHub, of which an account can have
            one. Default: a new one, deleted with this construct.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        repository: str,
        environment: str,
        provider_arn: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        self.subject = job_subject(repository, environment)
        """Subject of the tokens that can assume the role."""
        role = iam.CfnRole(
            self,
            "Resource",
            description=f"Acceptance runs for {self.subject}",
            assume_role_policy_document=trust_of_jobs(self, self.subject, provider_arn),
            max_session_duration=SESSION.to_seconds(),
            policies=[
                iam.CfnRole.PolicyProperty(
                    policy_name="Acceptance",
                    policy_document=policy_document(*map(self._statement, RIGHTS)),
                )
            ],
        )
        acknowledge_wildcards(role, self._reasons())
        self.role_arn = role.attr_arn

    def _statement(self, right: Right) -> dict[str, Any]:
        resources = [self._with_tokens(one) for one in self._filled(right)]
        return {
            "Sid": right.sid,
            "Effect": "Allow",
            "Action": right.named_actions,
            "Resource": resources if len(resources) > 1 else resources[0],
            **({"Condition": dict(right.condition)} if right.condition else {}),
        }

    def _reasons(self) -> dict[str, str]:
        """The reasons of all statements by resource, as the acknowledgement names it."""
        reasons: dict[str, list[str]] = {}
        for right in RIGHTS:
            for resource in self._filled(right):
                if "*" in resource:
                    named = resource.replace("${", "<").replace("}", ">")
                    reasons.setdefault(named, []).append(f"{right.sid}: {right.reason}")
        return {resource: "; ".join(texts) for resource, texts in reasons.items()}

    def _filled(self, right: Right) -> list[str]:
        """The ARNs for every region, with the bootstrap's qualifier and this stack's name."""
        qualifier = Stack.of(self).synthesizer.bootstrap_qualifier
        assert qualifier is not None, "the default synthesizer has one"
        values = {
            "${Qualifier}": qualifier,
            "${AWS::Partition}": "<AWS::Partition>",
            "${AWS::AccountId}": "<AWS::AccountId>",
            "${AWS::Region}": "*",
            "<AWS::StackName>": Stack.of(self).stack_name,
        }
        arns = list(right.resources)
        for name, value in values.items():
            arns = [arn.replace(name, value) for arn in arns]
        return arns

    def _with_tokens(self, arn: str) -> str:
        stack = Stack.of(self)
        return arn.replace("<AWS::Partition>", stack.partition).replace(
            "<AWS::AccountId>", stack.account
        )
