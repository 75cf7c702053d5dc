"""The IAM role that the workflow ``acceptance`` uses, in an account meant for it."""

from __future__ import annotations

from typing import Any

from constructs import Construct

from gpustation import SettingsReport
from gpustation.acceptance.role import AcceptanceRole
from gpustation.catalog.names import ACCEPTANCE
from stacks.base import SettingsStack


class GpuAcceptanceRoleStack(SettingsStack):
    """IAM role for acceptance runs: for jobs of one repository in the environment ``acceptance``.

    The name of the environment is fixed, so that no setting of another role can open this one. One
    stack per account: the setting ``name`` does not affect it, and its role serves all regions.

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
            description="Role for acceptance runs from GitHub Actions",
            **kwargs,
        )
        settings = report.settings
        if not settings.github_repository:
            self.require_repository(report)
            return
        role = AcceptanceRole(
            self,
            "AcceptanceRole",
            repository=settings.github_repository,
            environment=ACCEPTANCE,
            provider_arn=settings.github_oidc_provider_arn,
        )
        self.add_outputs(
            {
                "AcceptanceRoleArn": (
                    role.role_arn,
                    "Put it into GitHub as the variable ACCEPTANCE_ROLE_ARN of the environment "
                    f"{ACCEPTANCE}",
                ),
                "Subject": (role.subject, "Who may assume it: the subject of a job's token"),
            }
        )
