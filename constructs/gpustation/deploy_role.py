"""The role with which jobs of one GitHub repository deploy, without any key that is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import DefaultStackSynthesizer, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from gpustation.settings.github import ISSUER
from gpustation.synth.acknowledge import acknowledge_wildcards

AUDIENCE = "sts.amazonaws.com"
"""Whom the tokens are for: what ``aws-actions/configure-aws-credentials`` asks for."""

SESSION = Duration.hours(1)
"""Longest session; from it the CLI takes those of the bootstrap roles, which last no longer."""

_BOOTSTRAP_ROLES = (
    DefaultStackSynthesizer.DEFAULT_DEPLOY_ROLE_ARN,
    DefaultStackSynthesizer.DEFAULT_FILE_ASSET_PUBLISHING_ROLE_ARN,
)
"""What ``cdk deploy`` and ``cdk destroy`` act as. No container image is published. The role for
look-ups may read the whole account; ``cdk diff`` takes the session itself where it may not."""


class DeployRole(Construct):
    """IAM role that only jobs of one repository in one of its environments may assume.

    It may do almost nothing itself: it assumes two roles of ``cdk bootstrap``, as a person's
    ``cdk deploy`` does, and reads the stacks. Whoever assumes it can have CloudFormation do all
    that the bootstrap's own execution role may (docs/decisions/0007-the-deploy-role.md), so the
    environment's rules are the gate.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. Changing it replaces the role: another ARN.
        repository: ``owner/name`` or ``owner@id/name@id``, as the tokens' subject names it.
        environment: Name of the environment, as the workflow spells it.
        stack_names: Stacks that it may read: their outputs, and their templates for ``cdk diff``.
        provider_arn: The account's identity provider for GitHub, which has one or none. Default:
            it is made here, and goes with the role.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        repository: str,
        environment: str,
        stack_names: Sequence[str],
        provider_arn: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        self.subject = f"repo:{repository}:environment:{environment}"
        """Subject of the tokens that open it."""
        role = iam.CfnRole(
            self,
            "Resource",
            description=f"Deploys for {self.subject}",
            assume_role_policy_document=_document(
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Principal": {"Federated": provider_arn or self._provider().attr_arn},
                    # StringEquals knows no wildcards: this subject and none that is like it
                    "Condition": {
                        "StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": self.subject}
                    },
                }
            ),
            max_session_duration=SESSION.to_seconds(),
            policies=[
                iam.CfnRole.PolicyProperty(
                    policy_name="Deploy",
                    policy_document=_document(
                        {
                            "Sid": "ActAsBootstrapRoles",
                            "Effect": "Allow",
                            "Action": "sts:AssumeRole",
                            "Resource": self._bootstrap_role_arns(),
                        },
                        {
                            "Sid": "ReadStacks",
                            "Effect": "Allow",
                            "Action": [
                                "cloudformation:DescribeStacks",
                                "cloudformation:GetTemplate",
                            ],
                            # Behind the name comes an id that CloudFormation makes up
                            "Resource": [self._stack_arn(name) for name in stack_names],
                        },
                    ),
                )
            ],
        )
        place = "arn:<AWS::Partition>:cloudformation:<AWS::Region>:<AWS::AccountId>"
        acknowledge_wildcards(
            role,
            {
                f"{place}:stack/{name}/*": "ReadStacks: a stack's ARN ends with an id that is "
                "made up when the stack is"
                for name in stack_names
            },
        )
        self.role_arn = role.attr_arn

    def _provider(self) -> iam.CfnOIDCProvider:
        # No thumbprints: AWS knows the authorities that sign GitHub's certificates
        return iam.CfnOIDCProvider(
            self, "Provider", url=f"https://{ISSUER}", client_id_list=[AUDIENCE]
        )

    def _bootstrap_role_arns(self) -> list[str]:
        qualifier = Stack.of(self).synthesizer.bootstrap_qualifier
        assert qualifier is not None, "the default synthesizer has one"
        return [Fn.sub(arn.replace("${Qualifier}", qualifier)) for arn in _BOOTSTRAP_ROLES]

    def _stack_arn(self, name: str) -> str:
        return Stack.of(self).format_arn(
            service="cloudformation", resource="stack", resource_name=f"{name}/*"
        )


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
