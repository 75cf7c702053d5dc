"""Base class of all stacks: owner tag, annotations for invalid settings, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Annotations, CfnOutput, CfnWaitConditionHandle, Stack, Tags
from constructs import Construct

from gpustation import SettingsReport
from gpustation.catalog.names import OWNER_TAG
from gpustation.gpu_workstation import own_scripts

SCRIPTS = own_scripts()
"""Default folder of the machine's scripts: ``userdata/`` of this project."""


class SettingsStack(Stack):
    """A stack configured by the settings.

    Invalid settings become error annotations, which block ``cdk deploy`` but not ``cdk destroy``.
    Warnings can be acknowledged by their ids.

    Args:
        scope: The app, or a stage of it.
        construct_id: Id of the stack.
        report: The settings with their errors and warnings.
        **kwargs: Passed on to ``Stack``, e.g. ``env``.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, report: SettingsReport, **kwargs: Any
    ) -> None:
        super().__init__(scope, construct_id, **kwargs)
        Tags.of(self).add(OWNER_TAG, self.stack_name)
        annotations = Annotations.of(self)
        for fault in report.faults:
            annotations.add_error(fault)
        for name, warning in report.warnings.items():
            annotations.add_warning_v2(f"gpustation:{name}", warning)

    def add_outputs(self, outputs: Mapping[str, tuple[str, str]]) -> None:
        """Adds outputs in the order given.

        Args:
            outputs: Value and description of each output, by its logical id.
        """
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)

    def require_repository(self, report: SettingsReport) -> None:
        """Fills a stack whose role has nobody to trust, and blocks its deploy.

        Args:
            report: The settings, without a ``github_repository``.
        """
        CfnWaitConditionHandle(self, "Nobody")  # a template needs at least one resource
        if not any(fault.startswith("github_repository") for fault in report.faults):
            Annotations.of(self).add_error(
                "github_repository: this stack needs the repository whose jobs may deploy; pass "
                "-c github_repository=owner/name (docs/ci.md)"
            )
