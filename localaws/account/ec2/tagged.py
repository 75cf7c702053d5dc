"""Key pairs and network interfaces, whose tags ministack loses."""

from __future__ import annotations

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, tags, value
from localaws.account.errors import ApiError


def key_pairs(_instances: Instances, request: Parameters) -> wire.Response:
    """DescribeKeyPairs."""
    names = ec2._parse_member_list(request, "KeyName")
    for name in names:
        if name not in ec2._key_pairs:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    pairs = [pair for pair in ec2._key_pairs.values() if not names or pair["KeyName"] in names]
    rows = [{**pair, "Tags": ec2._tags.get(pair["KeyPairId"], [])} for pair in pairs]
    return wire.response("DescribeKeyPairs", {"KeyPairs": rows})


def delete_key_pair(_instances: Instances, request: Parameters) -> wire.Response:
    """DeleteKeyPair by name or id; upstream by name only. A missing key pair is no error."""
    name, pair_id = value(request, "KeyName"), value(request, "KeyPairId")
    for pair in list(ec2._key_pairs.values()):
        if pair["KeyPairId"] == pair_id or pair["KeyName"] == name:
            del ec2._key_pairs[pair["KeyName"]]
    return wire.response("DeleteKeyPair", {"Return": True, "KeyPairId": pair_id})


def create_interface(_instances: Instances, request: Parameters) -> wire.Response:
    """CreateNetworkInterface."""
    before = set(ec2._network_interfaces)
    response: wire.Response = ec2._create_network_interface(request)
    for made in set(ec2._network_interfaces) - before:
        ec2._tags[made] = tags(request, "network-interface")
    return response


def interfaces(_instances: Instances, request: Parameters) -> wire.Response:
    """DescribeNetworkInterfaces."""
    names = ec2._parse_member_list(request, "NetworkInterfaceId")
    rows = [
        {**interface, "TagSet": ec2._tags.get(name, [])}
        for name, interface in ec2._network_interfaces.items()
        if not names or name in names
    ]
    return wire.response("DescribeNetworkInterfaces", {"NetworkInterfaces": rows})
