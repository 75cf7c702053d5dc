"""``gpustation image``: make an image of the running workstation, and remove one."""

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
"""EC2's rule (API reference, CreateImage)."""
IMAGE_ID = r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})"

app = typer.Typer(
    help="Make an image of the running workstation, or remove one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _image_name(text: str) -> str:
    rule = "no name of an image: 3 to 128 letters, digits, blanks and ()[]./-'@_"
    return matching(IMAGE_NAME, rule, text)


def _image_id(text: str) -> str:
    rule = (
        "no id of an image: ami- and 17 (formerly 8) digits of 0-9a-f; "
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
            parser=_image_name, metavar="TEXT", help="Name of the image. Default: stack and time."
        ),
    ] = None,
    with_data_volumes: Annotated[
        bool,
        typer.Option(
            "--with-data-volumes",
            help="Also copy volumes that are attached beside the root disk.",
        ),
    ] = False,
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make an image of the running workstation, which reboots meanwhile.

    Prints the settings that start the next machine from it.
    """
    tell = warn if as_json else say
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
            tell(line)
        confirm(
            f"{workstation.instance_id} reboots to be copied: what runs on it ends. A snapshot "
            f"then costs {make.USD_PER_GIB_MONTH} USD per GiB and month. Go on?",
            yes,
        )
        stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        image_id = make.save(
            ec2,
            workstation,
            image_name or f"{stack[:100]}-{stamp}",
            tell=tell,
            with_data_volumes=with_data_volumes,
        )
        generation = int(workstation.settings["generation"]) % 255 + 1
        if as_json:
            undo = f"{UNDO} {image_id}"
            say_json({"image": image_id, "generation": generation, "stack": stack, "undo": undo})
            return 0
        say(
            f"{image_id} is ready. A new machine from it: put these into the context of cdk.json,\n"
            f'  "image": "{image_id}", "generation": {generation}\n'
            f"then: cdk deploy{context_for(name_in(stack) or '')} "
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
    """Remove a saved image and its snapshots; may be repeated for what is left."""

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image.remove import find_image, find_snapshots, remove, require_saved

        ec2 = make_session(region).client("ec2")
        found = find_image(ec2, image)
        what = ""
        if found is not None:
            require_saved(found)
            what = f"{image} ({found.get('Name', '')}) and its snapshots are"
        elif snapshots := find_snapshots(ec2, image):
            what = f"{', '.join(snapshots)}, left of {image}, will be"
        # Else remove() says why not
        if what:
            confirm(f"{what} deleted for good. Go on?", yes)
        with held(f"the removal of {image} goes on to its end, which may take some minutes"):
            deleted = remove(ec2, image)
            if as_json:
                say_json({"image": image, "deleted": deleted})
            else:
                say(f"{image} is deregistered; deleted: {', '.join(deleted) or 'no snapshot'}")
        return 0

    run("image undo", work)


def _stack(name: str, stack: str) -> str:
    """The stack that is meant.

    Raises:
        typer.BadParameter: Both were given.
    """
    if name and stack:
        raise typer.BadParameter("--name and --stack mean the same; pass one of them")
    return stack or stack_name(WORKSTATION, name)


def _volumes(volumes: tuple[DataVolume, ...], taken: bool) -> list[str]:
    """A line about each volume beside the root disk, with what its copy costs."""
    from gpustation.catalog.prices import volume
    from gpustation.saved_image.make import USD_PER_GIB_MONTH

    lines = []
    for one in volumes:
        copy = f"up to {one.gib * USD_PER_GIB_MONTH:.2f} USD per month for its snapshot"
        if taken:
            usd, _ = volume(one.kind, one.gib)
            lines.append(
                f"{one} is copied: {copy}, and {usd:.2f} USD per month for such a volume of each "
                "machine from the image, for as long as the machine exists"
            )
        else:
            lines.append(f"{one} is left out; --with-data-volumes copies it: {copy}")
    return lines
