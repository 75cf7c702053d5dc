"""The daily stop of deployed workstations, read from the Metadata of their templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from gpustation.aws.calls import DENIED, error_code
from gpustation.aws.parallel import Calls
from gpustation.settings.rows import METADATA

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

WORKERS = 8
"""Calls at a time: CloudFormation throttles more."""


@dataclass(frozen=True)
class DailyStop:
    """The settings ``stop_at`` and ``stop_at_patience`` of a deployed stack.

    Attributes:
        stop_at: Time and zone, e.g. ``22:00 Europe/Berlin``.
        patience: Minutes.
    """

    stop_at: str
    patience: int

    def __str__(self) -> str:
        return self.stop_at + (f" (patience {self.patience} min)" if self.patience else "")


def read_daily_stops(
    cloudformation: CloudFormationClient, stacks: Iterable[str], seconds: float
) -> dict[str, DailyStop | None]:
    """The daily stop of each stack, ``None`` if it has none; a stack is missing if it is unknown.

    Args:
        cloudformation: The client.
        stacks: Names of stacks.
        seconds: How long the calls may take together.

    Raises:
        ClientError: AWS refused a call for another reason than a permission or a deleted stack.
        BotoCoreError: AWS was not reached.
        DeadlineError: A call did not return in time.
    """
    calls = {stack: _template_of(cloudformation, stack) for stack in stacks}
    found: dict[str, DailyStop | None] = {}
    for stack, result in Calls[Any](calls, seconds, workers=WORKERS).results().items():
        if isinstance(result, ClientError) and error_code(result) in {*DENIED, "ValidationError"}:
            continue
        if isinstance(result, Exception):
            raise result
        found[stack] = daily_stop_of(result)
    return found


def _template_of(cloudformation: CloudFormationClient, stack: str) -> Any:
    return lambda: cloudformation.get_template(StackName=stack)["TemplateBody"]


def daily_stop_of(template: Any) -> DailyStop | None:
    """The daily stop in the Metadata of a template; ``None`` if there is none."""
    # A template in YAML is text, and not one of ours
    metadata = template.get("Metadata", {}) if isinstance(template, dict) else {}
    settings = metadata.get(METADATA, {}).get("settings", {})
    stop_at, patience = settings.get("stop_at", "none"), settings.get("stop_at_patience", "0")
    return None if stop_at == "none" else DailyStop(stop_at, int(patience))
