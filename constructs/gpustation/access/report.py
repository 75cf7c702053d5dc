"""The machine's report: a parameter of its generation that only the machine writes.

Root on the machine can write anything into it, so it is text of others: its form is checked, and
nothing in it is a command.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpustation.access.host_keys import HostKey, parse_key

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_ssm import SSMClient

    from gpustation.workstation.machine import Machine

SCHEMA = 1
MAX_CHARACTERS = 4096
"""Size of a standard parameter (Systems Manager, quotas)."""
MAX_KEYS = 8
_PARAMETER = "AWS::SSM::Parameter"
_LOGICAL_ID = re.compile(r".*Report[0-9A-F]{8}")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


class ReportError(ValueError):
    """The report is not in the form that machines write; the message says why."""


@dataclass(frozen=True)
class Report:
    """What a machine says about itself.

    Attributes:
        instance_id: The machine.
        host_keys: Its public SSH host keys, sorted.
    """

    instance_id: str
    host_keys: tuple[HostKey, ...]


def parse_report(text: str) -> Report | None:
    """The report in a parameter's value; ``None`` if the machine has not written one.

    Raises:
        ReportError: The text is not a report.
    """
    if len(text) > MAX_CHARACTERS:
        raise ReportError(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        report: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ReportError("it is not JSON") from None
    if not isinstance(report, dict):
        raise ReportError("it is not a JSON object")
    if not report:
        return None
    schema, machine, lines = (report.get(n) for n in ("schema", "instance_id", "host_keys"))
    if schema != SCHEMA:
        raise ReportError(f"its schema is not {SCHEMA}; this command may be too old for it")
    if not isinstance(machine, str) or not _INSTANCE_ID.fullmatch(machine):
        raise ReportError("its instance_id is not the id of an instance")
    if not isinstance(lines, list) or not 1 <= len(lines) <= MAX_KEYS:
        raise ReportError(f"its host_keys are not a list of 1 to {MAX_KEYS} keys")
    keys = [parse_key(line) if isinstance(line, str) else None for line in lines]
    if None in keys:
        raise ReportError("one of its host_keys is not the public key of an SSH host")
    return Report(machine, tuple(sorted({key for key in keys if key is not None})))


def read_report(
    cloudformation: CloudFormationClient, ssm: SSMClient, stack: str, machine: Machine
) -> Report | None:
    """The report of a stack's machine; ``None`` if it has none, or one of another machine.

    Raises:
        ReportError: The parameter's value is not a report.
        ClientError: AWS refused a call.
    """
    rows = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    names = {
        row["LogicalResourceId"]: row.get("PhysicalResourceId", "")
        for row in rows
        if row["ResourceType"] == _PARAMETER and _LOGICAL_ID.fullmatch(row["LogicalResourceId"])
    }
    # While a new generation is made, the stack has two
    generation = f"Generation{machine.generation}Machine"
    own = [name for logical_id, name in names.items() if name and generation in logical_id]
    for name in own:
        report = parse_report(ssm.get_parameter(Name=name)["Parameter"].get("Value", ""))
        if report is not None and report.instance_id == machine.instance_id:
            return report
    return None
