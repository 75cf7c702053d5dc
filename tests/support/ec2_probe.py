"""EC2's API in tests of the embedded AWS: a client that tries once, and machines of it."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws import LocalAws

KIND, ZONE = "g4dn.xlarge", "us-east-1b"
SESSION = boto3.session.Session(region_name="us-east-1")
"""One for all clients: it reads EC2's model once, which takes longer than a test."""


def client(aws: LocalAws, credentials: dict[str, str] | None = None, tries: int = 1) -> Any:
    """A client that tries a call once."""
    given = credentials or aws.exports
    make: Any = SESSION.client
    return make(
        "ec2",
        endpoint_url=aws.url,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=given.get("AWS_SESSION_TOKEN"),
        config=Config(retries={"total_max_attempts": tries, "mode": "standard"}),
    )


def launch(ec2: Any, zone: str = ZONE, kind: str = KIND, **more: Any) -> dict[str, Any]:
    images = ec2.describe_images(Filters=[{"Name": "name", "Values": ["ubuntu-jammy*amd64*"]}])
    return dict(
        ec2.run_instances(
            ImageId=images["Images"][0]["ImageId"],
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            SubnetId=subnet(ec2, zone),
            **more,
        )["Instances"][0]
    )


def subnet(ec2: Any, zone: str) -> str:
    """A subnet in the zone, made for it if need be."""
    rows = ec2.describe_subnets()["Subnets"]
    for row in rows:
        if row["AvailabilityZone"] == zone and row["DefaultForAz"]:
            return str(row["SubnetId"])
    made = ec2.create_default_subnet(AvailabilityZone=zone)["Subnet"]
    return str(made["SubnetId"])


def machines(ec2: Any) -> list[dict[str, Any]]:
    rows = ec2.describe_instances()["Reservations"]
    return [one for row in rows for one in row["Instances"] if one["State"]["Name"] != "terminated"]


def code(refused: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refused.value.response["Error"]["Code"])
