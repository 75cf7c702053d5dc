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
    return sorted({zone for _, zone in _offerings(ec2, [instance_type], None)})


def zones_by_type(
    ec2: EC2Client, patterns: list[str], *, patience: float | None = None
) -> dict[str, list[str]]:
    """The zones of ``zones_offering`` for each type that the region offers.

    Args:
        ec2: Client of the region.
        patterns: Names of types, with EC2's wildcards.
        patience: See ``call_aws``.

    Raises:
        UnknownError: The zones or their offerings could not be read.
    """
    found: dict[str, list[str]] = {}
    for name, zone in sorted(_offerings(ec2, patterns, patience)):
        found.setdefault(name, []).append(zone)
    return found


def _offerings(ec2: EC2Client, patterns: list[str], patience: float | None) -> set[tuple[str, str]]:
    """Types and zones that offer them."""
    zones = call_aws(
        "availability zones",
        lambda: ec2.describe_availability_zones(
            Filters=[
                {"Name": "zone-type", "Values": ["availability-zone"]},
                {"Name": "state", "Values": ["available"]},
            ]
        ),
        patience=patience,
    )
    ordinary = {zone.get("ZoneName") for zone in zones.get("AvailabilityZones", [])} - {None}
    if not ordinary:
        raise UnknownError("availability zones: AWS named none")
    pages = ec2.get_paginator("describe_instance_type_offerings")
    offerings = call_aws(
        "zones that offer the type",
        lambda: pages.paginate(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": patterns}],
        ).build_full_result(),
        patience=patience,
    )
    return {
        (str(row.get("InstanceType")), str(row.get("Location")))
        for row in offerings.get("InstanceTypeOfferings", [])
        if row.get("Location") in ordinary
    }
