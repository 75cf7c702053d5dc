"""Instances and what they use: addresses, volumes, images, snapshots."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, ClassVar

from gpustation.catalog import prices
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG
from gpustation.leftovers.account import Call, moment, tags_of
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.ownership import BUILDER_TAG, NOT_PROVEN, Ownership
from gpustation.leftovers.search import Search
from gpustation.leftovers.steps import Step

_ENDING = ("shutting-down", "terminated")
BEING_CREATED = frozenset({"pending", "transient"})
"""States of an image or snapshot that becomes usable by itself."""
USABLE = frozenset({"available", "disabled", "completed"})
"""States in which it may be kept on purpose; in any other it is of no use."""


_REQUESTS = Call("ec2", "describe_spot_instance_requests", "SpotInstanceRequests")


class Instance(Resource):
    """Has to be terminated before its volumes and network can be deleted.

    One that a spot request launches again has no tags: those of its request say whose it is.
    """

    reads = (_REQUESTS,)
    price = "its type's price per hour, times 730; a type with unknown price is not counted"

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """The instances of all reservations."""
        rows = [
            row
            for reservation in search.account.list(*kind.lists)
            for row in reservation["Instances"]
            if row["State"]["Name"] not in _ENDING
        ]
        for row in rows:
            request = row.get("SpotInstanceRequestId")
            tags = row.get("Tags") or (request and _tags_of_requests(search).get(request))
            yield {**row, "Tags": tags or []}

    def _cost(self) -> prices.Cost:
        # An Elastic IP replaces the instance's own address, and is a resource of its own
        addresses, public = self.search.listed("address"), self.row.get("PublicIpAddress")
        elastic = {
            address.get(name) for address in addresses for name in ("PublicIp", "InstanceId")
        }
        own = bool(public) and elastic.isdisjoint((public, self.id))
        return prices.machine(self.row["InstanceType"], self.row["State"]["Name"], with_address=own)

    def _steps(self) -> list[Step]:
        return [self.deletion, self.step("ec2 wait instance-terminated", instance_ids=self.id)]


def _tags_of_requests(search: Search) -> dict[str, Any]:
    """Tags of spot requests by id, whatever became of them."""
    return {
        row["SpotInstanceRequestId"]: row.get("Tags", []) for row in search.account.list(*_REQUESTS)
    }


class Address(Resource):
    """An address in use is disassociated first."""

    price = f"{prices.ADDRESS_PER_HOUR} per hour, in use or not"

    def _cost(self) -> prices.Cost:
        return prices.address()

    def _doubts(self) -> Iterator[str]:
        if self.row.get("AssociationId"):
            user = self.row.get("InstanceId") or self.row.get("NetworkInterfaceId", "another's")
            yield from self.in_use("in use by", "instance", [user])

    def _steps(self) -> list[Step]:
        association = self.row.get("AssociationId")
        if not association:
            return [self.deletion]
        words = "ec2 disassociate-address"
        return [self.step(words, association_id=association), self.deletion]


class Volume(Resource):
    """Is deleted with its instance or after it; from another's it is detached first."""

    price = "{gp3} per GiB of gp3, {gp2:.2f} of gp2, attached or not".format_map(
        prices.VOLUME_PER_GIB
    )

    def _cost(self) -> prices.Cost:
        return prices.volume(self.row["VolumeType"], self.row["Size"])

    @property
    def _attachments(self) -> list[Row]:
        return [row for row in self.row.get("Attachments", []) if row.get("InstanceId")]

    def _within(self) -> list[str]:
        return [attachment["InstanceId"] for attachment in self._attachments]

    def _part_of(self) -> Ownership | None:
        # A disk that is not deleted with its instance may hold a person's data, attached by hand
        instances = self.search.by_id("instance")
        for attachment in self._attachments:
            if instance := instances.get(attachment["InstanceId"]):
                kept = "" if attachment.get("DeleteOnTermination") else NOT_PROVEN
                return Ownership(f"disk of {instance.id}", instance.doubt or kept)
        return None

    def _doubts(self) -> Iterator[str]:
        return self.in_use("attached to", "instance", self._within())

    def _steps(self) -> list[Step]:
        """One that is deleted with its instance needs no command of its own."""
        if not self._attachments:
            return [self.deletion]
        attachment = self._attachments[0]
        wait = self.step("ec2 wait volume-available", volume_ids=self.id)
        if attachment["InstanceId"] not in self.search.by_id("instance"):
            return [self.step("ec2 detach-volume", volume_id=self.id), wait, self.deletion]
        if attachment.get("DeleteOnTermination"):
            return [self.step("ec2 wait volume-deleted", volume_ids=self.id)]
        return [wait, self.deletion]


class Image(Resource):
    """May be wanted while it is being created; one that failed is of no use."""

    arguments: ClassVar = {"Owners": ["self"], "IncludeDisabled": True}
    price = "see snapshot"

    def _cost(self) -> prices.Cost:
        return 0.0, "its snapshots cost"

    def _ownership(self) -> Ownership | None:
        why, state = super()._ownership(), self.row.get("State", "unknown")
        if why is None or state in USABLE | BEING_CREATED:
            return why
        return Ownership(f"{why.reason}; it is of no use, its state is {state}", why.doubt)

    def _doubts(self) -> Iterator[str]:
        if self.row.get("State") in BEING_CREATED:
            yield "still being created, look again when it is done"

    def _stays(self) -> str:
        return _kept(self.search, self.row)


class Snapshot(Image):
    """Belongs to the images that consist of it."""

    arguments: ClassVar = {"OwnerIds": ["self"]}
    price = f"at most {prices.SNAPSHOT_PER_GIB['standard']} per GiB"

    def _cost(self) -> prices.Cost:
        tier, size = self.row.get("StorageTier", "standard"), self.row["VolumeSize"]
        return prices.snapshot(tier, size, self.row.get("FullSnapshotSizeInBytes", 0))

    @property
    def _images(self) -> list[Row]:
        return _images_by_snapshot(self.search).get(self.id, [])

    def _within(self) -> list[str]:
        builds = [tags_of(image.get("Tags")).get(BUILDER_TAG, "") for image in self._images]
        return [*(image["ImageId"] for image in self._images), *builds]

    def _part_of(self) -> Ownership | None:
        left = self.search.by_id("image")
        rows = [left[image["ImageId"]] for image in self._images if image["ImageId"] in left]
        return Ownership(f"snapshot of {rows[0].id}", rows[0].doubt) if rows else None

    def _doubts(self) -> Iterator[str]:
        left = self.search.by_id("image")
        images = [image["ImageId"] for image in self._images if image["ImageId"] not in left]
        yield from self.in_use("needed by the image", "image", images)
        yield from super()._doubts()

    def _stays(self) -> str:
        if self.row.get("State") not in USABLE:
            return ""
        kept = [_kept(self.search, image) for image in self._images]
        return next((reason for reason in kept if reason), "")


@functools.lru_cache(maxsize=1)
def _images_by_snapshot(search: Search) -> dict[str, list[Row]]:
    images: dict[str, list[Row]] = {}
    for image in search.listed("image"):
        for disk in image.get("BlockDeviceMappings", []):
            images.setdefault(disk.get("Ebs", {}).get("SnapshotId", ""), []).append(image)
    return images


def _kept(search: Search, image: Row) -> str:
    """Why an image is kept on purpose; empty if it is not."""
    tags = tags_of(image.get("Tags"))
    if image.get("State") not in USABLE:
        return ""
    if SAVED_TAG in tags:
        undo = f"gpustation image undo {image['ImageId']}"
        return f"a person saved it from {tags[SAVED_TAG]}; {undo} removes image and snapshots"
    stack, created = tags.get(OWNER_TAG, ""), moment(image.get("CreationDate"))
    if BUILDER_TAG in tags and search.stacks.retain_images(stack, created):
        return f"the stack {stack} was deployed with image_retain=true"
    return ""
