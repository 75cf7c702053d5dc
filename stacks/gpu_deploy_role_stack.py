"""The IAM role that GitHub Actions jobs use to deploy the other stacks."""

from __future__ import annotations

from typing import Any

from constructs import Construct

from gpustation import DeployRole, SettingsReport
from gpustation.catalog.names import IMAGE, WORKSTATION, stack_name
from stacks.base import SettingsStack


class GpuDeployRoleStack(SettingsStack):
    """IAM role for the jobs of one GitHub repository in one of its environments.

    One stack per account: the setting ``name`` does not affect it.

    Without ``github_repository`` the stack has no role and carries an error annotation, which
    blocks the deploy of this stack, but neither that of other stacks nor ``cdk destroy``.

    Args:
        scope: A stage, so that bare ``cdk`` commands select only the workstation.
        construct_id: Id of the stack.
        report: The settings. Errors become annotations.
        **kwargs: Passed on to ``Stack``, e.g. ``stack_name``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        report: SettingsReport,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            report=report,
            description="Role for deploys from GitHub Actions",
            **kwargs,
        )
        settings = report.settings
        if not settings.github_repository:
            self.require_repository(report)
            return
        role = DeployRole(
            self,
            "DeployRole",
            repository=settings.github_repository,
            environment=settings.github_environment,
            stack_names=[
                stack_name(kind, name)
                for name in ("", *settings.deploy_role_names)
                for kind in (WORKSTATION, IMAGE)
            ],
            provider_arn=settings.github_oidc_provider_arn,
        )
        self.add_outputs(
            {
                "DeployRoleArn": (
                    role.role_arn,
                    "Put it into GitHub as the variable AWS_ROLE_ARN of the environment "
                    f"{settings.github_environment}",
                ),
                "Subject": (role.subject, "Who may assume it: the subject of a job's token"),
            }
        )
