"""``gpustation image use``: writes the settings for a machine from an image into cdk.json."""

from __future__ import annotations

from pathlib import Path

from gpustation.catalog.names import WORKSTATION, context_for, name_in
from gpustation.cli.ending import confirm, run, say_json
from gpustation.cli.options import AsJson, ImageId, Name, Region, Stack, Yes, epilog
from gpustation.cli.selecting import named
from gpustation.console.interrupts import say, warn
from gpustation.console.shown_text import visible
from gpustation.console.statuses import FINDING

EPILOG = epilog("gpustation image use ami-0123456789abcdef0", FINDING)


def use(
    image: ImageId,
    name: Name = "",
    stack: Stack = "",
    region: Region = "",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Write an image into cdk.json of this folder, with the next generation of the workstation.

    Shows the change and asks. The next `cdk deploy` builds the new machine.
    """
    stack = named(name, stack) or WORKSTATION
    show = warn if as_json else say

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image.use import settings_for
        from gpustation.settings.cdk_json import Change

        change = Change.read(Path.cwd())
        values = settings_for(make_session(region), image, stack, change.context)
        change = change.with_values(values.context)
        for note in values.notes:
            warn(visible(note))
        if change.is_needed:
            for line in change.diff():
                show(visible(line))
            confirm(f"Write this to {change.path}?", yes)
            change.write()
        if as_json:
            say_json(
                {
                    "image": image,
                    "stack": stack,
                    "file": str(change.path),
                    "changed": change.is_needed,
                    "context": values.context,
                }
            )
        else:
            done = "is written" if change.is_needed else "has these settings already"
            say(f"{change.path.name} {done}; next: cdk deploy{context_for(name_in(stack) or '')}")
        return 0

    run("image use", work)
