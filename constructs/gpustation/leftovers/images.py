"""Machine images and their snapshots, and what EC2 Image Builder keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpustation.catalog import prices
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG
from gpustation.leftovers.account import moment, tags_of
from gpustation.leftovers.ours import BUILDER_TAG, Ownership
from gpustation.leftovers.result import Leftover, command, leftover
from gpustation.leftovers.search import Search

Found = Mapping[str, Any]
_LISTS = {
    "image recipe": ("list_image_recipes", "imageRecipeSummaryList"),
    "infrastructure configuration": (
        "list_infrastructure_configurations",
        "infrastructureConfigurationSummaryList",
    ),
    "distribution configuration": (
        "list_distribution_configurations",
        "distributionConfigurationSummaryList",
    ),
}
"""What Image Builder lists with its tags in one go."""
_BUILDS = {
    "component": ("list_component_build_versions", "componentVersionArn", "componentSummaryList"),
    "built image": ("list_image_build_versions", "imageVersionArn", "imageSummaryList"),
}
"""What it lists by version first, and by build, which is what exists, only then."""
_ARGUMENTS = {
    "component": "component_build_version_arn",
    "built image": "image_build_version_arn",
    "image recipe": "image_recipe_arn",
    "infrastructure configuration": "infrastructure_configuration_arn",
    "distribution configuration": "distribution_configuration_arn",
}
_DELETIONS = {"built image": "delete-image"}


BEING_MADE = frozenset({"pending", "transient"})
"""States of an image or snapshot that is not there yet, and will be by itself."""
KEPT = frozenset({"available", "disabled"})
"""States in which an image may be kept on purpose; in any other it is of no use."""


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    found = search.account.list(
        "ec2", "describe_images", "Images", Owners=["self"], IncludeDisabled=True
    )
    images = [image for image in found if image.get("State") != "deregistered"]
    left = {}
    for image in images:
        tags = tags_of(image.get("Tags"))
        why = search.left(tags, image["ImageId"], within=[tags.get(BUILDER_TAG, "")])
        if why:
            left[image["ImageId"]] = why
            yield _image(search, image, why)
    yield from _snapshots(search, images, left)
    for kind, call in _LISTS.items():
        for one in search.account.list("imagebuilder", *call):
            yield from _builder(search, kind, one)
    for kind, versions in (
        ("component", ("list_components", "componentVersionList")),
        ("built image", ("list_images", "imageVersionList")),
    ):
        yield from _builds(search, kind, search.account.list("imagebuilder", *versions))


def _image(search: Search, image: Found, why: Ownership) -> Leftover:
    image_id = image["ImageId"]
    return leftover(
        "image",
        image_id,
        search.region,
        _finished(why, image.get("State", "unknown")),
        command("ec2 deregister-image", search.region, image_id=image_id),
        created=moment(image.get("CreationDate")),
        cost=(0.0, "its snapshots cost"),
        stays=_stays(search, image),
    )


def _finished(why: Ownership, state: str) -> Ownership:
    """Whether a thing is whole; one that is being made may be what somebody waits for."""
    if state in BEING_MADE:
        return Ownership(why.reason, why.doubt or "still being made, look again when it is done")
    whole = state in KEPT or state == "completed"
    return (
        why
        if whole
        else Ownership(f"{why.reason}; it is of no use, its state is {state}", why.doubt)
    )


def _stays(search: Search, image: Found) -> str:
    """Why an image is kept on purpose."""
    if image.get("State") not in KEPT:
        return ""
    tags = tags_of(image.get("Tags"))
    if SAVED_TAG in tags:
        undo = f"gpustation image undo {image['ImageId']}"
        return f"a person saved it from {tags[SAVED_TAG]}; {undo} removes image and snapshots"
    made = moment(image.get("CreationDate"))
    retained = BUILDER_TAG in tags and search.stacks.retain_images(tags.get(OWNER_TAG, ""), made)
    return f"the stack {tags[OWNER_TAG]} was told image_retain=true" if retained else ""


def _snapshots(
    search: Search, images: list[Found], left: Mapping[str, Ownership]
) -> Iterator[Leftover]:
    """Snapshots share the fate of the images that need them."""
    needing: dict[str, list[Found]] = {}
    for image in images:
        for disk in image.get("BlockDeviceMappings", []):
            needing.setdefault(disk.get("Ebs", {}).get("SnapshotId", ""), []).append(image)
    found = search.account.list("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"])
    for snapshot in found:
        snapshot_id = snapshot["SnapshotId"]
        users = needing.get(snapshot_id, [])
        names = [image["ImageId"] for image in users]
        tags = tags_of(snapshot.get("Tags"))
        builders = [tags_of(image.get("Tags")).get(BUILDER_TAG, "") for image in users]
        within = [tags.get(BUILDER_TAG, ""), *names, *builders]
        why = search.left(tags, snapshot_id, within=within, part_of=_of_image(names, left))
        if why is None:
            continue
        others = [one for one in names if one not in left]
        if others:
            use = f"needed by the image {', '.join(others)}, which is not left"
            why = Ownership(why.reason, why.doubt or use)
        usd, cost = prices.snapshot(
            snapshot.get("StorageTier", "standard"),
            snapshot["VolumeSize"],
            snapshot.get("FullSnapshotSizeInBytes", 0),
        )
        state = snapshot.get("State", "unknown")
        kept = [_stays(search, image) for image in users]
        yield leftover(
            "snapshot",
            snapshot_id,
            search.region,
            _finished(why, state),
            command("ec2 delete-snapshot", search.region, snapshot_id=snapshot_id),
            created=snapshot.get("StartTime"),
            cost=(usd, cost),
            stays=next((one for one in kept if one), "") if state == "completed" else "",
        )


def _of_image(names: list[str], left: Mapping[str, Ownership]) -> Ownership | None:
    """Why a snapshot without a tag is ours: an image that is left was made of it."""
    for one in names:
        if one in left:
            return Ownership(f"snapshot of {one}", left[one].doubt)
    return None


def _builds(search: Search, kind: str, versions: list[Found]) -> Iterator[Leftover]:
    call, argument, member = _BUILDS[kind]

    def builds(version: Found) -> list[Found]:
        return search.account.list("imagebuilder", call, member, **{argument: version["arn"]})

    for _, found in search.account.each(versions, builds):
        for one in found:
            yield from _builder(search, kind, one)


def _builder(search: Search, kind: str, found: Found) -> Iterator[Leftover]:
    arn, made = found["arn"], moment(found.get("dateCreated"))
    why = search.left(tags_of(found.get("tags")), arn, name=found.get("name", ""), made=made)
    if why:
        operation = _DELETIONS.get(kind, f"delete-{kind.replace(' ', '-')}")
        removal = command(f"imagebuilder {operation}", search.region, **{_ARGUMENTS[kind]: arn})
        yield leftover(kind, arn, search.region, why, removal, created=made)
