"""The record of an instance: ministack's, with what that leaves out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from ipaddress import ip_network
from itertools import islice
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import ec2, iam, sts

from localaws.account.ec2.images import Image
from localaws.account.ec2.launch import Launch
from localaws.account.errors import ApiError

Record = dict[str, Any]


def new_record(launch: Launch, subnet: Mapping[str, Any], image: Image) -> Record:
    """The record as ministack makes it, with what it leaves out."""
    created: list[Record] = ec2._launch_instances_internal(
        image_id=launch.image_id,
        instance_type=launch.instance_type,
        subnet_id=launch.subnet_id,
        count=1,
        key_name=launch.key_name,
        user_data=launch.user_data,
        sg_ids=list(launch.groups),
        requested_private_ip=_private_address(subnet["CidrBlock"]),
        iam_profile=profile(launch.profile),
    )
    record = created[0]
    record["Architecture"] = image.architecture
    record["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
    record["_public"] = subnet["MapPublicIpOnLaunch"] if launch.public is None else launch.public
    record["_platform"], record["_preference"] = image.platform, launch.preference
    record["_reservation"] = record["_spot_request"] = ""
    record["_lifecycle"] = "spot" if launch.spot else ""
    record["_tokens"], record["_protected"] = launch.tokens, False
    record["_at_shutdown"] = "stop"
    return record


def profile(name: str) -> dict[str, str] | None:
    """An instance profile by name or ARN.

    Raises:
        ApiError: It does not exist.
    """
    if not name:
        return None
    arn = {"iam_arn": name} if name.startswith("arn:") else {"iam_name": name}
    resolved, refusal = ec2._resolve_iam_instance_profile(**arn)
    if refusal:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ({name}) for parameter iamInstanceProfile.name is invalid. "
            "Invalid IAM Instance Profile name",
        )
    known: dict[str, str] = resolved
    return known


def role_session(record: Record) -> dict[str, str]:
    """A new session of the instance's role; empty for an instance without a role."""
    association = record.get("IamInstanceProfile")
    if not association:
        return {}
    profile = iam._lookup_instance_profile(name="", arn=association["Arn"])
    if profile is None or not profile["Roles"]:
        return {}
    return new_session(profile["Roles"][0], record["InstanceId"])


def new_session(role: str, name: str) -> dict[str, str]:
    """A new session of a role, with credentials that IAM knows."""
    key = f"ASIA{secrets.token_hex(8).upper()}"
    secret, token = secrets.token_hex(20), secrets.token_hex(32)
    session = {"SecretAccessKey": secret, "SessionToken": token, "UserId": f"{role}:{name}"}
    session["Arn"] = f"arn:aws:sts::{get_account_id()}:assumed-role/{role}/{name}"
    sts.register_session(key, session)
    return {"role": role, "access_key": key, "secret_key": secret, "session_token": token}


def _private_address(block: str) -> str:
    """A free address of the subnet; EC2 reserves the first four and the last.

    Raises:
        ApiError: There is none.
    """
    taken = {record["PrivateIpAddress"] for record in ec2._instances.values()}
    for address in islice(ip_network(block).hosts(), 3, None):
        if str(address) not in taken:
            return str(address)
    raise ApiError(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet {block} to satisfy the requested number "
        "of instances.",
    )


def set_address(record: Record, machines: Any) -> None:
    """Assign a new public address, as every start does.

    That of a machine that boots is one of this computer's loopback, where its port 22 is.
    """
    address = ec2._random_ip(machines.PUBLIC_PREFIX) if record["_public"] else ""
    record["PublicIpAddress"] = address
    dashed = address.replace(".", "-")
    record["PublicDnsName"] = f"ec2-{dashed}.compute-1.amazonaws.com" if address else ""
