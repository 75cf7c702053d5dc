"""Shows in a stack what is wrong with the settings."""

from __future__ import annotations

from aws_cdk import Annotations, Stack

from gpustation import SettingsReport


def annotate_settings(stack: Stack, report: SettingsReport) -> None:
    """Faults become errors, which stop a deploy and let ``cdk destroy`` work; the rest warns."""
    annotations = Annotations.of(stack)
    for fault in report.faults:
        annotations.add_error(fault)
    for name, warning in report.warnings.items():
        annotations.add_warning_v2(f"gpustation:{name}", warning)
