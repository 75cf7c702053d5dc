"""Who else is there: this computer, which may reach machines, and other people's machines."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ministack.services import ec2

from localaws.account.ec2.instance_record import Record
from localaws.account.ec2.reservation import LINUX

VISITOR = "203.0.113.7"
"""Address by which security groups know this computer, the only one that reaches machines."""


def admits_ssh(record: Record) -> bool:
    """Whether an instance's security groups let the person in at port 22."""
    groups = [group["GroupId"] for group in record["SecurityGroups"]]
    rules = [rule for name in groups for rule in ec2._security_groups[name]["IpPermissions"]]
    return any(
        rule["IpProtocol"] in ("tcp", "-1")
        and rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65535)
        and any(ip_address(VISITOR) in ip_network(one["CidrIp"]) for one in rule["IpRanges"])
        for rule in rules
    )


class Crowd:
    """Instances of other people in the account."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def __call__(self, instance_type: str, count: int) -> None:
        """Run so many instances of a type without machines, listed before all others."""
        for name in self._names.pop(instance_type, []):
            for disk in ec2._instances.pop(name, {}).get("BlockDeviceMappings", []):
                ec2._volumes.pop(disk["Ebs"]["VolumeId"], None)
        others = [*ec2._instances.items()]
        made = ec2._launch_instances_internal(
            "ami-00000000", instance_type, ec2._DEFAULT_SUBNET_ID, count
        )
        self._names[instance_type] = [record["InstanceId"] for record in made]
        for record in made:
            record |= {"_lifecycle": "", "_protected": False, "_public": False}
            record |= {"_tokens": "optional", "_at_shutdown": "stop"}
            record |= {"_platform": LINUX, "_preference": "open"}
            record |= {"_reservation": "", "_spot_request": ""}
        for name, record in others:
            ec2._instances.pop(name)
            ec2._instances[name] = record
