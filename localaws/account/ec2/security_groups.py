"""Security groups in use are not deleted: by EC2's API, and so by CloudFormation."""

from __future__ import annotations

from typing import Any

from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from localaws.account.ec2 import wire
from localaws.account.ec2.instance_resource import call
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, one
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


def delete(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DeleteSecurityGroup."""
    _require_unused(one(asked, "GroupId"))
    found: wire.Answer = ec2._delete_security_group(asked)
    return found


def _require_unused(group_id: str) -> None:
    for record in ec2._instances.values():
        groups = [group["GroupId"] for group in record["SecurityGroups"]]
        if record["State"]["Name"] != "terminated" and group_id in groups:
            raise ApiError("DependencyViolation", f"resource {group_id} has a dependent object")
