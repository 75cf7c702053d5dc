"""Runs all checks at the same time, and none for longer than a deadline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from gpustation.aws.calls import DENIED, error_code
from gpustation.aws.parallel import Calls, DeadlineError
from gpustation.aws.session import explain
from gpustation.doctor import account, machines, programs
from gpustation.doctor.finding import Finding, Mark, Subject
from gpustation.doctor.permissions import permissions
from gpustation.doctor.quota import quota
from gpustation.doctor.watchers import watchers

DEADLINE_SECONDS = 30.0
"""How long all checks together may take."""
Check = Callable[[Subject], "Finding | list[Finding]"]

CHECKS: Mapping[str, Check] = {
    "credentials": account.credentials,
    "region": account.region,
    "clock": account.clock,
    "bootstrap": account.bootstrap,
    "free plan": account.free_plan,
    "quota": quota,
    "CDK CLI": programs.cdk_cli,
    "Node.js": programs.node,
    "AWS CLI": programs.aws_cli,
    "Session Manager plug-in": programs.session_manager_plugin,
    "permissions": permissions,
    machines.RULES: machines.rules,
    machines.SET_UP: machines.set_ups,
    "watchers of the machine": watchers,
}
"""The checks by name, in the order of the result."""


def examine(
    subject: Subject, *, checks: Mapping[str, Check] = CHECKS, seconds: float = DEADLINE_SECONDS
) -> list[Finding]:
    """The findings of all checks; one that could not be made is ``unknown``.

    Args:
        subject: What the checks read.
        checks: The checks. Default: all.
        seconds: How long they may take together.
    """

    def run(check: Check) -> Callable[[], Any]:
        return lambda: check(subject)

    results = Calls({name: run(check) for name, check in checks.items()}, seconds).results()
    findings: list[Finding] = []
    for name, result in results.items():
        if isinstance(result, Exception):
            findings.append(_not_checked(name, result))
        else:
            findings += result if isinstance(result, list) else [result]
    return findings


def is_good(findings: list[Finding]) -> bool:
    """Whether no check failed and none was left out; warnings do not count."""
    return all(finding.mark in (Mark.OK, Mark.WARNING) for finding in findings)


def _not_checked(name: str, error: Exception) -> Finding:
    if isinstance(error, NoCredentialsError):
        mark = Mark.FAILED if name == "credentials" else Mark.UNKNOWN
        return Finding(name, mark, "no credentials", "run `aws configure` or `aws sso login`")
    if isinstance(error, ClientError):
        denied = error_code(error) in DENIED
        mark = Mark.FAILED if name == "credentials" and not denied else Mark.UNKNOWN
        return Finding(name, mark, f"{error.operation_name}: {explain(error)}")
    if isinstance(error, BotoCoreError):
        return Finding(name, Mark.UNKNOWN, explain(error))
    if isinstance(error, DeadlineError):
        return Finding(name, Mark.UNKNOWN, str(error), "try again, or check the network")
    # A check that fails otherwise must not keep the findings of the others from being shown
    return Finding(name, Mark.UNKNOWN, f"the check failed: {' '.join(repr(error).split())}")
