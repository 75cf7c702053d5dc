"""IAM role for deploys from GitHub Actions, without long-lived credentials."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import DefaultStackSynthesizer, Duration, Fn, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from gpustation.synth.acknowledge import acknowledge_wildcards
from gpustation.synth.github_trust import job_subject, policy_document, trust_of_jobs

SESSION = Duration.hours(1)
"""Maximum session duration. The bootstrap roles are assumed from it: role chaining allows 1 h."""

_BOOTSTRAP_ROLES = (
    DefaultStackSynthesizer.DEFAULT_DEPLOY_ROLE_ARN,
    DefaultStackSynthesizer.DEFAULT_FILE_ASSET_PUBLISHING_ROLE_ARN,
)
"""Roles that ``cdk deploy`` and ``cdk destroy`` assume. Not the image publishing role, as no
container image is published, nor the lookup role, which may read the whole account: without it
``cdk diff`` uses the session itself."""


class DeployRole(Construct):
    """IAM role that only jobs of one GitHub repository in one of its environments can assume.

    Its own permissions are to assume two roles of ``cdk bootstrap``, as ``cdk deploy`` does, and
    to read the stacks. Through them CloudFormation acts with all permissions of the bootstrap
    execution role (docs/decisions/0007-the-deploy-role.md), so the protection rules of the
    environment decide who can deploy.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. Changing it replaces the role and its ARN.
        repository: ``owner/name`` or ``owner@id/name@id``, as in the subject of the tokens.
        environment: Name of the environment, as in the workflow.
        stack_names: Stacks whose outputs and templates it may read, for ``cdk diff``.
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
        stack_names: Sequence[str],
        provider_arn: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        self.subject = job_subject(repository, environment)
        """Subject of the tokens that can assume the role."""
        role = iam.CfnRole(
            self,
            "Resource",
            description=f"Deploys for {self.subject}",
            assume_role_policy_document=trust_of_jobs(self, self.subject, provider_arn),
            max_session_duration=SESSION.to_seconds(),
            policies=[
                iam.CfnRole.PolicyProperty(
                    policy_name="Deploy",
                    policy_document=policy_document(
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
                            # The ARN ends with an id that CloudFormation generates
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

    def _bootstrap_role_arns(self) -> list[str]:
        qualifier = Stack.of(self).synthesizer.bootstrap_qualifier
        assert qualifier is not None, "the default synthesizer has one"
        return [Fn.sub(arn.replace("${Qualifier}", qualifier)) for arn in _BOOTSTRAP_ROLES]

    def _stack_arn(self, name: str) -> str:
        return Stack.of(self).format_arn(
            service="cloudformation", resource="stack", resource_name=f"{name}/*"
        )
