"""Security groups in use cannot be deleted, and no rule added twice; upstream both work."""

from __future__ import annotations

from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.account.ec2 import wire
from localaws.account.ec2.instance_resource import call
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, value
from localaws.account.errors import ApiError

TYPE = "AWS::EC2::SecurityGroup"


def install() -> None:
    """Check before ministack deletes."""
    handler = provisioners._RESOURCE_HANDLERS[TYPE]
    plain = handler["delete"]

    def delete_resource(group_id: str, properties: Any) -> None:
        call(lambda: _require_unused(group_id))
        plain(group_id, properties)

    handler["delete"] = delete_resource


def delete(_instances: Instances, request: Parameters) -> wire.Response:
    """DeleteSecurityGroup."""
    _require_unused(value(request, "GroupId"))
    response: wire.Response = ec2._delete_security_group(request)
    return response


def authorize(_instances: Instances, request: Parameters) -> wire.Response:
    """AuthorizeSecurityGroupIngress; upstream a rule that exists is accepted, EC2 refuses it."""
    group = ec2._security_groups.get(value(request, "GroupId"))
    for rule in ec2._parse_ip_permissions(request, "IpPermissions"):
        if group and any(ec2._rules_match(rule, known) for known in group["IpPermissions"]):
            peer = ", ".join(one["CidrIp"] for one in rule["IpRanges"])
            raise ApiError(
                "InvalidPermission.Duplicate",
                f'the specified rule "peer: {peer}, {rule["IpProtocol"].upper()}, from port: '
                f'{rule.get("FromPort")}, to port: {rule.get("ToPort")}, ALLOW" already exists',
            )
    response: wire.Response = ec2._authorize_sg_ingress(request)
    return response


def _require_unused(group_id: str) -> None:
    for record in ec2._instances.values():
        groups = [group["GroupId"] for group in record["SecurityGroups"]]
        if record["State"]["Name"] != "terminated" and group_id in groups:
            raise ApiError("DependencyViolation", f"resource {group_id} has a dependent object")
