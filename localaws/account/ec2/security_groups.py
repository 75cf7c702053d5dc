"""Security groups in use cannot be deleted; upstream they are."""

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


def _require_unused(group_id: str) -> None:
    for record in ec2._instances.values():
        groups = [group["GroupId"] for group in record["SecurityGroups"]]
        if record["State"]["Name"] != "terminated" and group_id in groups:
            raise ApiError("DependencyViolation", f"resource {group_id} has a dependent object")
