"""Machine images and their snapshots, and what EC2 Image Builder keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpustation.leftovers import prices
from gpustation.leftovers.account import moment, tags_of
from gpustation.leftovers.ours import BUILDER_TAG
from gpustation.leftovers.result import Leftover, command
from gpustation.leftovers.search import Search
from gpustation.tags import OWNER_TAG, SAVED_TAG

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


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    found = search.account.list("ec2", "describe_images", "Images", Owners=["self"])
    images = {image["ImageId"]: image for image in found}
    left = {}
    for image_id, image in images.items():
        tags = tags_of(image.get("Tags"))
        why = search.left(tags, image_id, tags.get(BUILDER_TAG, ""))
        if why:
            left[image_id] = why
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


def _image(search: Search, image: Found, why: str) -> Leftover:
    image_id = image["ImageId"]
    return Leftover(
        kind="image",
        id=image_id,
        region=search.region,
        created=moment(image.get("CreationDate")),
        usd_per_month=0.0,
        cost="its snapshots cost",
        ours=why,
        removal=command("ec2 deregister-image", search.region, image_id=image_id),
        stays=_stays(search, image),
    )


def _stays(search: Search, image: Found) -> str:
    """Why an image is kept on purpose."""
    tags = tags_of(image.get("Tags"))
    if SAVED_TAG in tags:
        undo = f"python -m gpustation.save_image --undo {image['ImageId']}"
        return f"a person saved it from {tags[SAVED_TAG]}; {undo} removes image and snapshots"
    retained = BUILDER_TAG in tags and search.stacks.retain_images(tags.get(OWNER_TAG, ""))
    return f"the stack {tags[OWNER_TAG]} was told image_retain=true" if retained else ""


def _snapshots(
    search: Search, images: Mapping[str, Found], left: Mapping[str, str]
) -> Iterator[Leftover]:
    """Snapshots share the fate of the image that needs them."""
    of_image = {
        disk["Ebs"]["SnapshotId"]: image
        for image in images.values()
        for disk in image.get("BlockDeviceMappings", [])
        if "SnapshotId" in disk.get("Ebs", {})
    }
    found = search.account.list("ec2", "describe_snapshots", "Snapshots", OwnerIds=["self"])
    for snapshot in found:
        snapshot_id = snapshot["SnapshotId"]
        image = of_image.get(snapshot_id, {})
        image_id = image.get("ImageId", "")
        tags = tags_of(snapshot.get("Tags"))
        of_left = f"snapshot of {image_id}" if image_id in left else ""
        builder = tags.get(BUILDER_TAG) or tags_of(image.get("Tags")).get(BUILDER_TAG, "")
        why = search.left(tags, snapshot_id, image_id, builder, part_of=of_left)
        if why:
            usd, cost = prices.snapshot(
                snapshot.get("StorageTier", "standard"),
                snapshot["VolumeSize"],
                snapshot.get("FullSnapshotSizeInBytes", 0),
            )
            yield Leftover(
                kind="snapshot",
                id=snapshot_id,
                region=search.region,
                created=snapshot.get("StartTime"),
                usd_per_month=usd,
                cost=cost,
                ours=why,
                removal=command("ec2 delete-snapshot", search.region, snapshot_id=snapshot_id),
                stays=_stays(search, image) if image else "",
            )


def _builds(search: Search, kind: str, versions: list[Found]) -> Iterator[Leftover]:
    call, argument, member = _BUILDS[kind]

    def builds(version: Found) -> list[Found]:
        return search.account.list("imagebuilder", call, member, **{argument: version["arn"]})

    for _, found in search.account.each(versions, builds):
        for one in found:
            yield from _builder(search, kind, one)


def _builder(search: Search, kind: str, found: Found) -> Iterator[Leftover]:
    arn = found["arn"]
    why = search.left(tags_of(found.get("tags")), arn, name=found.get("name", ""))
    if why:
        operation = _DELETIONS.get(kind, f"delete-{kind.replace(' ', '-')}")
        removal = command(f"imagebuilder {operation}", search.region, **{_ARGUMENTS[kind]: arn})
        yield Leftover(
            kind=kind,
            id=arn,
            region=search.region,
            created=moment(found.get("dateCreated")),
            usd_per_month=0.0,
            cost=prices.FREE,
            ours=why,
            removal=removal,
        )
