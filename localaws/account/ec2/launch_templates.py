"""Launch templates in launches: a launch's own parameters win over those of its template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.request import Parameters, value
from localaws.account.errors import ApiError

Properties = Mapping[str, Any]
SPOT_KIND = "spot-instances-request"
KNOWN = (
    "BlockDeviceMappings",
    "CapacityReservationSpecification",
    "ImageId",
    "InstanceMarketOptions",
    "InstanceType",
    "KeyName",
    "MetadataOptions",
    "SecurityGroupIds",
    "TagSpecifications",
    "UserData",
)
"""Parameters of a template that launches here know; others are refused."""
_OPEN = {"CapacityReservationPreference": "open"}
_FLAT = "InstanceMarketOptions."


def install() -> None:
    """Keep what a template says of spot; upstream CreateLaunchTemplate loses it."""
    plain_parse, plain_xml = ec2._parse_lt_data, ec2._lt_data_xml

    def parse_data(request: Parameters, prefix: str = "LaunchTemplateData") -> dict[str, Any]:
        data: dict[str, Any] = plain_parse(request, prefix)
        market = market_options(request, f"{prefix}.")
        return data | ({"InstanceMarketOptions": market} if market else {})

    def data_xml(data: dict[str, Any]) -> str:
        market = data.get("InstanceMarketOptions")
        text: str = plain_xml(data)
        return text + (wire.part("ResponseLaunchTemplateData", "InstanceMarketOptions", market))

    ec2._parse_lt_data, ec2._lt_data_xml = parse_data, data_xml


def market_options(request: Parameters, prefix: str = "") -> dict[str, Any]:
    """`InstanceMarketOptions` of a form, in the SDK's shape; empty if it has none."""
    start = f"{prefix}{_FLAT}"
    names = [name for name in request if name.startswith(start)]
    flat = {name.removeprefix(start): value(request, name) for name in names}
    options = {n.removeprefix("SpotOptions."): v for n, v in flat.items() if "." in n}
    market: dict[str, Any] = {name: text for name, text in flat.items() if "." not in name}
    return market | ({"SpotOptions": options} if options else {})


def named(request: Parameters) -> dict[str, str]:
    """The template that RunInstances names; empty if it names none."""
    parts = ("LaunchTemplateId", "LaunchTemplateName", "Version")
    given = {name: value(request, f"LaunchTemplate.{name}") for name in parts}
    return {name: text for name, text in given.items() if text}


def data(specification: Properties) -> dict[str, Any]:
    """What a version of a template says; empty if there is no template.

    Raises:
        ApiError: It does not exist, or says what launches here do not know.
    """
    if not specification:
        return {}
    template = _template(specification)
    found: dict[str, Any] = _version(template, str(specification.get("Version") or "$Default"))
    unknown = {*found} - {*KNOWN}
    preference = found.get("CapacityReservationSpecification", _OPEN)
    if preference != _OPEN:  # every launch here is open, EC2's default
        unknown.add("CapacityReservationSpecification")
    if unknown:
        raise ApiError(
            "UnsupportedOperation",
            f"{', '.join(sorted(unknown))}: the embedded AWS does not launch with this part of a "
            "launch template; teach localaws/account/ec2/launch_templates.py",
        )
    return found


def tags(data: Properties, kind: str) -> tuple[dict[str, str], ...]:
    """The tags that a template gives to new resources of a kind."""
    return tuple(
        {"Key": str(tag["Key"]), "Value": str(tag.get("Value", ""))}
        for specification in data.get("TagSpecifications") or []
        if specification["ResourceType"] == kind
        for tag in specification.get("Tags") or []
    )


def _template(specification: Properties) -> dict[str, Any]:
    number, name = specification.get("LaunchTemplateId"), specification.get("LaunchTemplateName")
    for template in ec2._launch_templates.values():
        if number == template["LaunchTemplateId"] or name == template["LaunchTemplateName"]:
            found: dict[str, Any] = template
            return found
    if number:
        raise ApiError(
            "InvalidLaunchTemplateId.NotFound",
            f"The specified launch template, with template ID {number}, does not exist.",
        )
    raise ApiError(
        "InvalidLaunchTemplateName.NotFoundException",
        f"The specified launch template, with template name {name}, does not exist.",
    )


def _version(template: dict[str, Any], wanted: str) -> dict[str, Any]:
    special = {"$Default": "DefaultVersionNumber", "$Latest": "LatestVersionNumber"}
    number = str(template[special[wanted]]) if wanted in special else wanted
    for version in template["Versions"]:
        if str(version["VersionNumber"]) == number:
            return dict(version["LaunchTemplateData"])
    raise ApiError(
        "InvalidLaunchTemplateId.VersionNotFound",
        f"Could not find the specified version {wanted} for the launch template with ID "
        f"{template['LaunchTemplateId']}.",
    )
