"""EC2's calls about what ministack keeps without its tags: key pairs, network interfaces."""

from __future__ import annotations

from ministack.services import ec2

from localaws.account.ec2 import wire
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.request import Parameters, one, tags
from localaws.account.errors import ApiError


def key_pairs(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DescribeKeyPairs."""
    names = ec2._parse_member_list(asked, "KeyName")
    for name in names:
        if name not in ec2._key_pairs:
            raise ApiError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")
    pairs = [pair for pair in ec2._key_pairs.values() if not names or pair["KeyName"] in names]
    rows = [{**pair, "Tags": ec2._tags.get(pair["KeyPairId"], [])} for pair in pairs]
    return wire.answer("DescribeKeyPairs", {"KeyPairs": rows})


def delete_key_pair(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DeleteKeyPair, by name or by id; one that is not there is no error."""
    name, pair_id = one(asked, "KeyName"), one(asked, "KeyPairId")
    for pair in list(ec2._key_pairs.values()):
        if pair["KeyPairId"] == pair_id or pair["KeyName"] == name:
            del ec2._key_pairs[pair["KeyName"]]
    return wire.answer("DeleteKeyPair", {"Return": True, "KeyPairId": pair_id})


def create_interface(_instances: Instances, asked: Parameters) -> wire.Answer:
    """CreateNetworkInterface."""
    before = set(ec2._network_interfaces)
    found: wire.Answer = ec2._create_network_interface(asked)
    for made in set(ec2._network_interfaces) - before:
        ec2._tags[made] = tags(asked, "network-interface")
    return found


def interfaces(_instances: Instances, asked: Parameters) -> wire.Answer:
    """DescribeNetworkInterfaces."""
    names = ec2._parse_member_list(asked, "NetworkInterfaceId")
    rows = [
        {**interface, "TagSet": ec2._tags.get(name, [])}
        for name, interface in ec2._network_interfaces.items()
        if not names or name in names
    ]
    return wire.answer("DescribeNetworkInterfaces", {"NetworkInterfaces": rows})
