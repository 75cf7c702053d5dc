"""Checks of the account: credentials, region, clock, bootstrap, free plan."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from gpustation.aws import account_plan
from gpustation.aws.calls import error_code
from gpustation.doctor.finding import Finding, Mark, Subject

CLOCK_WARNING_SECONDS = 60
CLOCK_LIMIT_SECONDS = 300
"""AWS refuses requests whose time differs by more (AWS, "Signature Version 4")."""
NEEDED_BOOTSTRAP = 6
"""Oldest version of the bootstrap stack for the templates (their rule CheckBootstrapVersion)."""
QUALIFIER_KEY, QUALIFIER = "@aws-cdk/core:bootstrapQualifier", "hnb659fds"
"""Context key of the bootstrap's qualifier, and its default."""


def credentials(subject: Subject) -> Finding:
    """Whose credentials these are."""
    caller = subject.client("sts").get_caller_identity()
    return Finding("credentials", Mark.OK, f"account {caller['Account']}, {caller['Arn']}")


def region(subject: Subject) -> Finding:
    """Whether there is a region, and the account has enabled it."""
    if not subject.region:
        cure = "set AWS_REGION, e.g. us-east-1, or pass --region"
        return Finding("region", Mark.FAILED, "no region is set", cure)
    rows = subject.client("ec2").describe_regions(RegionNames=[subject.region], AllRegions=True)
    status = next((row.get("OptInStatus", "") for row in rows["Regions"]), "")
    if status == "not-opted-in":
        cure = f"enable it: aws account enable-region --region-name {subject.region}"
        return Finding("region", Mark.FAILED, f"{subject.region} is not enabled", cure)
    if not status:
        return Finding("region", Mark.UNKNOWN, f"AWS does not say whether {subject.region} is on")
    return Finding("region", Mark.OK, subject.region)


def clock(subject: Subject) -> Finding:
    """How far this computer's clock is from AWS's, by the date of an unsigned request's answer."""
    sts = subject.client("sts", Config(signature_version=UNSIGNED, connect_timeout=5))
    dates: list[str] = []

    def note(response_dict: dict[str, Any], **_: object) -> None:
        dates.append(response_dict["headers"].get("date", ""))

    sts.meta.events.register("before-parse.sts.GetCallerIdentity", note)
    before = time.time()
    # It is refused, as it is not signed; only its date is read, which needs no credentials
    with contextlib.suppress(ClientError, ResponseParserError):
        sts.get_caller_identity()
    here = (before + time.time()) / 2
    date = dates[-1] if dates else ""
    if not date:
        return Finding("clock", Mark.UNKNOWN, "the answer of AWS has no date")
    seconds = here - parsedate_to_datetime(date).timestamp()
    detail = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} AWS's"
    cure = "set the clock, e.g. by switching on network time"
    if abs(seconds) > CLOCK_LIMIT_SECONDS:
        return Finding("clock", Mark.FAILED, f"{detail}: AWS refuses requests", cure)
    if abs(seconds) > CLOCK_WARNING_SECONDS:
        return Finding("clock", Mark.WARNING, detail, cure)
    now = datetime.now(timezone.utc)
    return Finding("clock", Mark.OK, f"{now:%Y-%m-%d %H:%M} UTC, within a minute of AWS's")


def bootstrap(subject: Subject) -> Finding:
    """Whether the CDK's bootstrap stack is there, and new enough."""
    qualifier = subject.context.get(QUALIFIER_KEY, QUALIFIER)
    name = f"/cdk-bootstrap/{qualifier}/version"
    cure = "run: cdk bootstrap"
    try:
        value = subject.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    except ClientError as error:
        if error_code(error) != "ParameterNotFound":
            raise
        return Finding("bootstrap", Mark.FAILED, f"{subject.region} is not bootstrapped", cure)
    if not value.isdecimal():
        return Finding("bootstrap", Mark.UNKNOWN, f"{name} is {value[:20]!r}, not a number", cure)
    if int(value) < NEEDED_BOOTSTRAP:
        detail = f"version {value}, and {NEEDED_BOOTSTRAP} is needed"
        return Finding("bootstrap", Mark.FAILED, detail, cure)
    return Finding("bootstrap", Mark.OK, f"version {value} ({NEEDED_BOOTSTRAP} is needed)")


def free_plan(subject: Subject) -> Finding:
    """Whether the account is on AWS's free plan, on which EC2 launches no GPU type."""
    partition = subject.session.get_partition_for_region(subject.region or account_plan.REGION)
    client = account_plan.client(partition)
    if client is None:
        return Finding("free plan", Mark.OK, f"the partition {partition} has none")
    try:
        plan = client.get_account_plan_state()
    except ClientError as error:
        # Accounts from before July 2025; AWS documents no answer for them
        if error_code(error) != "ResourceNotFoundException":
            raise
        return Finding("free plan", Mark.WARNING, "AWS reports no plan of this account")
    kind, status = plan.get("accountPlanType"), plan.get("accountPlanStatus")
    if (kind, status) == ("FREE", "ACTIVE"):
        cure = "upgrade to the paid plan in the Billing console; credits remain"
        return Finding("free plan", Mark.FAILED, "on the free plan EC2 starts no GPU type", cure)
    if kind is None:
        return Finding("free plan", Mark.UNKNOWN, "the answer of AWS names no plan")
    return Finding("free plan", Mark.OK, f"plan {kind}, {status}")
