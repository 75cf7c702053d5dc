"""The rules of ``gpustation allow-my-ip``: one address, port 22, until a time in the description.

They are added beside the rules of the stack, which are never touched: CloudFormation does not
notice a change by hand, and a rule of its own that is gone can make its next change fail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from gpustation.aws.calls import error_code
from gpustation.catalog.ports import SSH_PORT

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import IpPermissionTypeDef, SecurityGroupTypeDef

PREFIX = "gpustation allow-my-ip until "
STAMP = "%Y-%m-%dT%H:%MZ"
_DESCRIPTION = re.compile(re.escape(PREFIX) + r"(\d{4}-\d\d-\d\dT\d\d:\d\dZ)")


@dataclass(frozen=True, order=True)
class OwnRule:
    """A rule that this verb has added.

    Attributes:
        group_id: Its security group.
        address: The IPv4 address.
        until: When it shall be removed.
    """

    group_id: str
    address: str
    until: datetime

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.until <= now

    def __str__(self) -> str:
        return f"{self.address} until {self.until:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class Group:
    """A security group with what matters of its rules.

    Attributes:
        group_id: Its id.
        own: Rules of this verb.
        networks: Networks of all other rules that open port 22.
    """

    group_id: str
    own: tuple[OwnRule, ...]
    networks: tuple[str, ...]

    def admits(self, address: str) -> str:
        """The network of another rule that has this address; empty if there is none."""
        found = (one for one in self.networks if ip_address(address) in ip_network(one))
        return next(found, "")


def group_of(group: SecurityGroupTypeDef) -> Group:
    """The rules of a group as EC2 describes it."""
    own, networks = [], []
    for rule in group.get("IpPermissions", []):
        for row in rule.get("IpRanges", []):
            network, match = row["CidrIp"], _DESCRIPTION.fullmatch(row.get("Description", ""))
            ports = (rule.get("IpProtocol"), rule.get("FromPort"), rule.get("ToPort"))
            if match and ports == ("tcp", SSH_PORT, SSH_PORT) and network.endswith("/32"):
                until = datetime.strptime(match[1], STAMP).replace(tzinfo=timezone.utc)
                own.append(OwnRule(group["GroupId"], network[: -len("/32")], until))
            elif rule.get("IpProtocol") == "-1" or (
                rule.get("IpProtocol") == "tcp"
                and rule.get("FromPort", 0) <= SSH_PORT <= rule.get("ToPort", 65535)
            ):
                networks.append(network)
    return Group(group["GroupId"], tuple(sorted(own)), tuple(networks))


def remove(ec2: EC2Client, rule: OwnRule) -> None:
    """Remove a rule of this verb; it is fine if it is gone.

    Raises:
        ClientError: AWS refused it.
    """
    try:
        ec2.revoke_security_group_ingress(
            GroupId=rule.group_id, IpPermissions=[permission(rule.address)]
        )
    except ClientError as error:
        if error_code(error) != "InvalidPermission.NotFound":
            raise


def permission(address: str, description: str = "") -> IpPermissionTypeDef:
    """The rule as EC2 identifies it; a description is no part of that."""
    described = {"Description": description} if description else {}
    return {
        "IpProtocol": "tcp",
        "FromPort": SSH_PORT,
        "ToPort": SSH_PORT,
        "IpRanges": [{"CidrIp": f"{address}/32", **described}],  # type: ignore[typeddict-item]
    }
