"""``gpustation image save``: creates an image of the running workstation."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from gpustation.catalog.names import WORKSTATION, context_for, name_in
from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, Name, Region, Stack, Yes, epilog, matching
from gpustation.cli.selecting import named
from gpustation.console.interrupts import say, warn
from gpustation.console.statuses import FINDING

if TYPE_CHECKING:
    from gpustation.saved_image.make import DataVolume

IMAGE_NAME = r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}"
"""Form of an image's name (EC2 API reference, CreateImage)."""
EPILOG = epilog("gpustation image save --image-name my-work", FINDING)


def _image_name(text: str) -> str:
    rule = "not a valid image name: 3 to 128 letters, digits, blanks and ()[]./-'@_"
    return matching(IMAGE_NAME, rule, text)


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
    stack = named(name, stack) or WORKSTATION

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
