"""Availability zones and the instance types that they offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpustation.aws.calls import UnknownError, call_aws

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client


def zones_offering(ec2: EC2Client, instance_type: str) -> list[str]:
    """Names of the region's availability zones that offer the type, sorted.

    Without Local Zones and Wavelength Zones, whose prices and network differ and which an account
    must enable.

    Raises:
        UnknownError: The zones or their offerings could not be read.
    """
    zones = call_aws(
        "availability zones",
        lambda: ec2.describe_availability_zones(
            Filters=[
                {"Name": "zone-type", "Values": ["availability-zone"]},
                {"Name": "state", "Values": ["available"]},
            ]
        ),
    )
    ordinary = {zone.get("ZoneName") for zone in zones.get("AvailabilityZones", [])} - {None}
    if not ordinary:
        raise UnknownError("availability zones: AWS named none")
    pages = ec2.get_paginator("describe_instance_type_offerings")
    offerings = call_aws(
        "zones that offer the type",
        lambda: pages.paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [instance_type]}],
        ).build_full_result(),
    )
    offered = {offering.get("Location") for offering in offerings.get("InstanceTypeOfferings", [])}
    return sorted(str(zone) for zone in offered & ordinary)
