"""EC2 instances and what hangs on them: addresses, volumes, keys, launch templates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpustation.leftovers import prices
from gpustation.leftovers.account import tags_of
from gpustation.leftovers.ours import BUILDER_TAG
from gpustation.leftovers.result import Leftover, chain, command
from gpustation.leftovers.search import Search

_ENDED = ("shutting-down", "terminated")
Found = Mapping[str, Any]


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    addresses = search.account.list("ec2", "describe_addresses", "Addresses")
    # An instance with an Elastic IP has given its own address back
    elastic = {address.get(name) for address in addresses for name in ("PublicIp", "InstanceId")}
    reservations = search.account.list("ec2", "describe_instances", "Reservations")
    left = set()
    for instance in (one for each in reservations for one in each["Instances"]):
        why = _instance_left(search, instance)
        if why:
            left.add(instance["InstanceId"])
            yield _instance(search, instance, why, elastic)
    yield from _addresses(search, addresses)
    yield from _volumes(search, left)
    yield from _key_pairs(search)
    yield from _launch_templates(search)


def _instance_left(search: Search, instance: Found) -> str:
    if instance["State"]["Name"] in _ENDED:
        return ""
    tags = tags_of(instance.get("Tags"))
    return search.left(tags, instance["InstanceId"], tags.get(BUILDER_TAG, ""))


def _instance(search: Search, instance: Found, why: str, elastic: set[Any]) -> Leftover:
    instance_id = instance["InstanceId"]
    address = instance.get("PublicIpAddress")
    own = bool(address) and elastic.isdisjoint((address, instance_id))
    usd, cost = prices.machine(
        instance["InstanceType"],
        instance["State"]["Name"],
        with_address=own,
    )
    return Leftover(
        kind="instance",
        id=instance_id,
        region=search.region,
        created=instance.get("LaunchTime"),
        usd_per_month=usd,
        cost=cost,
        ours=why,
        removal=chain(
            command("ec2 terminate-instances", search.region, instance_ids=instance_id),
            command("ec2 wait instance-terminated", search.region, instance_ids=instance_id),
        ),
    )


def _addresses(search: Search, addresses: list[Found]) -> Iterator[Leftover]:
    for address in addresses:
        allocation, ip = address["AllocationId"], address["PublicIp"]
        # CloudFormation knows an address by its number
        why = search.left(tags_of(address.get("Tags")), allocation, ip)
        if why:
            usd, cost = prices.address()
            association = address.get("AssociationId")
            freed = command(
                "ec2 disassociate-address", search.region, association_id=association or ""
            )
            yield Leftover(
                kind="address",
                id=allocation,
                region=search.region,
                created=None,
                usd_per_month=usd,
                cost=cost,
                ours=why,
                removal=chain(
                    freed if association else "",
                    command("ec2 release-address", search.region, allocation_id=allocation),
                ),
            )


def _volumes(search: Search, left: set[str]) -> Iterator[Leftover]:
    for volume in search.account.list("ec2", "describe_volumes", "Volumes"):
        if volume["State"] == "deleting":
            continue
        attached = volume.get("Attachments", [])
        machines = [one["InstanceId"] for one in attached if one.get("InstanceId")]
        tags = tags_of(volume.get("Tags"))
        part_of = next((f"disk of {one}" for one in machines if one in left), "")
        ids = (volume["VolumeId"], tags.get(BUILDER_TAG, ""), *machines)
        why = search.left(tags, *ids, part_of=part_of)
        if why:
            strangers = [one for one in machines if one not in left]
            if strangers:
                why += f"; attached to {', '.join(strangers)}, which is not ours: is it in use?"
            usd, cost = prices.volume(volume["VolumeType"], volume["Size"])
            yield Leftover(
                kind="volume",
                id=volume["VolumeId"],
                region=search.region,
                created=volume.get("CreateTime"),
                usd_per_month=usd,
                cost=cost,
                ours=why,
                removal=_volume_removal(search.region, volume, left),
            )


def _volume_removal(region: str, volume: Found, left: set[str]) -> str:
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
        name = pair["KeyName"]
        why = search.left(tags_of(pair.get("Tags")), name, pair.get("KeyPairId", ""), name=name)
        if why:
            removal = command("ec2 delete-key-pair", search.region, key_name=name)
            yield _free(search, "key pair", name, pair, why, removal)


def _launch_templates(search: Search) -> Iterator[Leftover]:
    for one in search.account.list("ec2", "describe_launch_templates", "LaunchTemplates"):
        template, name = one["LaunchTemplateId"], one["LaunchTemplateName"]
        why = search.left(tags_of(one.get("Tags")), template, name=name)
        if why:
            removal = command(
                "ec2 delete-launch-template", search.region, launch_template_id=template
            )
            yield _free(search, "launch template", template, one, why, removal)


def _free(search: Search, kind: str, name: str, found: Found, why: str, removal: str) -> Leftover:
    created = found.get("CreateTime")
    return Leftover(kind, name, search.region, created, 0.0, prices.FREE, why, removal)
