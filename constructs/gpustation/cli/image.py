"""``gpustation image``: create an image of the running workstation, or delete one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.catalog.names import WORKSTATION, context_for, name_in, stack_name
from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, matching
from gpustation.console.interrupts import held, say, warn

if TYPE_CHECKING:
    from gpustation.saved_image.make import DataVolume

IMAGE_NAME = r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}"
"""Form of an image's name (EC2 API reference, CreateImage)."""
IMAGE_ID = r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})"

app = typer.Typer(
    help="Create an image of the running workstation, or delete one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _image_name(text: str) -> str:
    rule = "not a valid image name: 3 to 128 letters, digits, blanks and ()[]./-'@_"
    return matching(IMAGE_NAME, rule, text)


def _image_id(text: str) -> str:
    rule = (
        "not a valid image id: ami- and 17 (formerly 8) digits of 0-9a-f; "
        "`aws ec2 describe-images --owners self` lists them"
    )
    return matching(IMAGE_ID, rule, text)


@app.command()
def save(
    name: Name = "",
    stack: Stack = "",
    image_name: Annotated[
        str | None,
        typer.Option(
            parser=_image_name,
            metavar="TEXT",
            help="Name of the image. Default: the stack's name and the time.",
        ),
    ] = None,
    with_data_volumes: Annotated[
        bool,
        typer.Option(
            "--with-data-volumes",
            help="Include attached volumes other than the root disk.",
        ),
    ] = False,
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Create an image of the running workstation, which reboots.

    Prints the settings for a new machine from it.
    """
    report = warn if as_json else say
    stack = _stack(name, stack)

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image import make
        from gpustation.saved_image.remove import UNDO

        session = make_session(region)
        ec2 = session.client("ec2")
        workstation = make.find_workstation(
            session.client("cloudformation"), session.client("ssm"), ec2, stack
        )
        for line in _volumes(workstation.data_volumes, with_data_volumes):
            report(line)
        confirm(
            f"{workstation.instance_id} will reboot: running programs end. The snapshot costs "
            f"{make.USD_PER_GIB_MONTH} USD per GiB-month. Continue?",
            yes,
        )
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        image_id = make.save(
            ec2,
            workstation,
            image_name or f"{stack[:100]}-{stamp}",
            report=report,
            with_data_volumes=with_data_volumes,
        )
        generation = int(workstation.settings["generation"]) % 255 + 1
        if as_json:
            undo = f"{UNDO} {image_id}"
            say_json({"image": image_id, "generation": generation, "stack": stack, "undo": undo})
            return 0
        say(
            f"{image_id} is ready. For a new machine from it, set in the context of cdk.json\n"
            f'  "image": "{image_id}", "generation": {generation}\n'
            f"and run: cdk deploy{context_for(name_in(stack) or '')} "
            "(it deletes the old machine with its disk once the new one is ready)\n"
            f"Undo: {UNDO} {image_id}"
        )
        return 0

    run("image save", work)


@app.command()
def undo(
    image: Annotated[str, typer.Argument(parser=_image_id, metavar="AMI", help="Id of the image.")],
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a saved image and its snapshots.

    Can be repeated if snapshots remain.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image.remove import find_image, find_snapshots, remove, require_saved

        ec2 = make_session(region).client("ec2")
        description = find_image(ec2, image)
        what = ""
        if description is not None:
            require_saved(description)
            what = f"{image} ({description.get('Name', '')}) and its snapshots"
        elif snapshots := find_snapshots(ec2, image):
            what = f"{', '.join(snapshots)}, which remain of {image},"
        # Otherwise remove() raises an error
        if what:
            confirm(f"{what} will be deleted permanently. Continue?", yes)
        with held(f"finishing the deletion of {image}, which may take some minutes"):
            deleted = remove(ec2, image)
            if as_json:
                say_json({"image": image, "deleted": deleted})
            else:
                say(f"{image} is deregistered; deleted: {', '.join(deleted) or 'no snapshot'}")
        return 0

    run("image undo", work)


def _stack(name: str, stack: str) -> str:
    """Name of the stack.

    Raises:
        typer.BadParameter: Both options were given.
    """
    if name and stack:
        raise typer.BadParameter("--name and --stack are alternatives; pass one of them")
    return stack or stack_name(WORKSTATION, name)


def _volumes(volumes: tuple[DataVolume, ...], included: bool) -> list[str]:
    """A line about each data volume, with the cost of its copy."""
    from gpustation.catalog import prices
    from gpustation.saved_image.make import USD_PER_GIB_MONTH

    lines = []
    for volume in volumes:
        cost = f"up to {volume.gib * USD_PER_GIB_MONTH:.2f} USD per month for its snapshot"
        if included:
            usd, _ = prices.volume(volume.kind, volume.gib)
            lines.append(
                f"{volume} is included: {cost}, and {usd:.2f} USD per month for the copy in each "
                "machine from the image, as long as the machine exists"
            )
        else:
            lines.append(f"{volume} is omitted; --with-data-volumes includes it: {cost}")
    return lines
