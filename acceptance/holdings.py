"""Reads what of a run is billed: machines, disks, addresses and images with its owner tag."""

from __future__ import annotations

from typing import Any

import boto3

from acceptance.meter import Holdings
from gpustation.catalog.names import OWNER_TAG

BILLED = ["pending", "running", "stopping", "shutting-down"]
"""States of a machine that count. EC2 bills running ones; the others count to be an upper bound."""


def read_holdings(session: boto3.Session, stacks: tuple[str, ...]) -> Holdings:
    """What these stacks have now.

    Args:
        session: Session of the region.
        stacks: Names of the stacks, the values of the owner tag.

    Raises:
        ClientError: AWS refused a call.
        BotoCoreError: AWS was not reached.
    """
    if not stacks:
        return Holdings()
    ec2 = session.client("ec2")
    owned: Any = {"Name": f"tag:{OWNER_TAG}", "Values": list(stacks)}
    state: Any = {"Name": "instance-state-name", "Values": BILLED}
    machines, addresses = {}, 0
    for page in ec2.get_paginator("describe_instances").paginate(Filters=[owned, state]):
        for reservation in page["Reservations"]:
            for row in reservation["Instances"]:
                machines[row["InstanceId"]] = row["InstanceType"]
                addresses += "PublicIpAddress" in row
    volumes = [
        row["Size"]
        for page in ec2.get_paginator("describe_volumes").paginate(Filters=[owned])
        for row in page["Volumes"]
    ]
    images = ec2.describe_images(Owners=["self"], Filters=[owned])["Images"]
    snapshots = sum(
        disk.get("Ebs", {}).get("VolumeSize", 0)
        for image in images
        for disk in image.get("BlockDeviceMappings", [])
    )
    return Holdings(machines, addresses, sum(volumes), snapshots)
