"""EC2 instances and what hangs on them: addresses, volumes, keys, launch templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gpustation.catalog import prices
from gpustation.leftovers.account import tags_of
from gpustation.leftovers.ours import BUILDER_TAG, NOT_PROVEN, Ownership
from gpustation.leftovers.result import Leftover, chain, command, leftover
from gpustation.leftovers.search import Search

_ENDED = ("shutting-down", "terminated")
Found = Mapping[str, Any]
Left = Mapping[str, Ownership]
"""Ids of instances that are left, and why."""


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    addresses = search.account.list("ec2", "describe_addresses", "Addresses")
    # An instance with an Elastic IP has given its own address back
    elastic = {address.get(name) for address in addresses for name in ("PublicIp", "InstanceId")}
    left = {}
    for instance in instances(search):
        why = instance_left(search, instance)
        if why:
            left[instance["InstanceId"]] = why
            yield _instance(search, instance, why, elastic)
    yield from _addresses(search, addresses, left)
    yield from _volumes(search, left)
    yield from _key_pairs(search)
    yield from _launch_templates(search)


def instances(search: Search) -> list[Found]:
    """Every instance of the region, in whatever state."""
    reservations = search.account.list("ec2", "describe_instances", "Reservations")
    return [one for each in reservations for one in each["Instances"]]


def is_ended(instance: Found) -> bool:
    """Whether an instance is gone or going."""
    return instance["State"]["Name"] in _ENDED


def instance_left(search: Search, instance: Found) -> Ownership | None:
    """Why an instance is a leftover; ``None`` when it is not."""
    if is_ended(instance):
        return None
    tags = tags_of(instance.get("Tags"))
    return search.left(tags, instance["InstanceId"], within=[tags.get(BUILDER_TAG, "")])


def _instance(search: Search, instance: Found, why: Ownership, elastic: set[Any]) -> Leftover:
    instance_id = instance["InstanceId"]
    address = instance.get("PublicIpAddress")
    own = bool(address) and elastic.isdisjoint((address, instance_id))
    removal = chain(
        command("ec2 terminate-instances", search.region, instance_ids=instance_id),
        command("ec2 wait instance-terminated", search.region, instance_ids=instance_id),
    )
    return leftover(
        "instance",
        instance_id,
        search.region,
        why,
        removal,
        created=instance.get("LaunchTime"),
        cost=prices.machine(instance["InstanceType"], instance["State"]["Name"], with_address=own),
    )


def _addresses(search: Search, addresses: list[Found], left: Left) -> Iterator[Leftover]:
    for address in addresses:
        allocation, ip = address["AllocationId"], address["PublicIp"]
        # CloudFormation knows an address by its number, EC2 by its allocation
        why = search.left(tags_of(address.get("Tags")), ip, allocation)
        if why is None:
            continue
        removal = command("ec2 release-address", search.region, allocation_id=allocation)
        if association := address.get("AssociationId"):
            user = address.get("InstanceId") or address.get("NetworkInterfaceId", "another's")
            if user not in _certain(left):
                why = _in_use(why, f"in use by {user}, which is not left")
            freed = command("ec2 disassociate-address", search.region, association_id=association)
            removal = chain(freed, removal)
        cost = prices.address()
        yield leftover("address", allocation, search.region, why, removal, cost=cost)


def _volumes(search: Search, left: Left) -> Iterator[Leftover]:
    for volume in search.account.list("ec2", "describe_volumes", "Volumes"):
        if volume["State"] == "deleting":
            continue
        attached = [one for one in volume.get("Attachments", []) if one.get("InstanceId")]
        machines = [one["InstanceId"] for one in attached]
        tags = tags_of(volume.get("Tags"))
        within = [tags.get(BUILDER_TAG, ""), *machines]
        part_of = _disk(attached, left)
        why = search.left(tags, volume["VolumeId"], within=within, part_of=part_of)
        if why is None:
            continue
        strangers = [one for one in machines if one not in _certain(left)]
        if strangers:
            why = _in_use(why, f"attached to {', '.join(strangers)}, which is not ours")
        yield leftover(
            "volume",
            volume["VolumeId"],
            search.region,
            why,
            _volume_removal(search.region, volume, left),
            created=volume.get("CreateTime"),
            cost=prices.volume(volume["VolumeType"], volume["Size"]),
        )


def _disk(attached: list[Found], left: Left) -> Ownership | None:
    """Why a volume without a tag is ours: it goes with a machine that is left.

    One that does not go with its machine may hold a person's data, attached by hand.
    """
    for one in attached:
        if one["InstanceId"] in left:
            goes = bool(one.get("DeleteOnTermination"))
            doubt = left[one["InstanceId"]].doubt or ("" if goes else NOT_PROVEN)
            return Ownership(f"disk of {one['InstanceId']}", doubt)
    return None


def _certain(left: Left) -> set[str]:
    return {instance for instance, why in left.items() if not why.doubt}


def _in_use(why: Ownership, use: str) -> Ownership:
    return replace(why, doubt=why.doubt or use)


def _volume_removal(region: str, volume: Found, left: Left) -> str:
    """A volume goes with its machine, or once that is gone; in another's it must be let go."""
    named = {"volume_ids": volume["VolumeId"]}
    attached = [one for one in volume.get("Attachments", []) if one.get("InstanceId")]
    delete = command("ec2 delete-volume", region, volume_id=volume["VolumeId"])
    if not attached:
        return delete
    wait = command("ec2 wait volume-available", region, **named)
    if attached[0]["InstanceId"] not in left:
        detach = command("ec2 detach-volume", region, volume_id=volume["VolumeId"])
        return chain(detach, wait, delete)
    if attached[0].get("DeleteOnTermination"):
        return command("ec2 wait volume-deleted", region, **named)
    return chain(wait, delete)


def _key_pairs(search: Search) -> Iterator[Leftover]:
    for pair in search.account.list("ec2", "describe_key_pairs", "KeyPairs"):
        name, pair_id = pair["KeyName"], pair["KeyPairId"]
        why = search.left(tags_of(pair.get("Tags")), name, pair_id, name=name)
        if why:
            # By its id: EC2 takes any text for the name
            removal = command("ec2 delete-key-pair", search.region, key_pair_id=pair_id)
            created = pair.get("CreateTime")
            yield leftover("key pair", name, search.region, why, removal, created=created)


def _launch_templates(search: Search) -> Iterator[Leftover]:
    for one in search.account.list("ec2", "describe_launch_templates", "LaunchTemplates"):
        template, name = one["LaunchTemplateId"], one["LaunchTemplateName"]
        why = search.left(tags_of(one.get("Tags")), template, name=name)
        if why:
            removal = command(
                "ec2 delete-launch-template", search.region, launch_template_id=template
            )
            created = one.get("CreateTime")
            yield leftover(
                "launch template", template, search.region, why, removal, created=created
            )
