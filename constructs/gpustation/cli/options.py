"""Options that several subcommands share."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from gpustation.console.statuses import MEANINGS, NO_ACCESS, USAGE

MAX_MINUTES = 24 * 60
"""Longest time of a request that ends by itself."""

Region = Annotated[
    str,
    typer.Option(
        metavar="REGION",
        help="AWS region. Default: AWS_REGION, AWS_DEFAULT_REGION, then the profile's.",
    ),
]
Stack = Annotated[str, typer.Option(metavar="STACK", help="Full name of the workstation's stack.")]
Name = Annotated[
    str,
    typer.Option(metavar="NAME", help="The setting name, for the stack GpuWorkstation-NAME."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
OptionalType = Annotated[
    str,
    typer.Argument(
        metavar="TYPE",
        help="EC2 type with a GPU. Default: that of the region's workstation, else g4dn.xlarge.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def assignment(text: str) -> str:
    """Parser for the values of ``-c``.

    Raises:
        typer.BadParameter: The text does not have the form ``KEY=VALUE``.
    """
    key, equals, _ = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(
            f"{text!r} is not KEY=VALUE, and the CDK CLI would ignore it; e.g. -c disk_gib=100"
        )
    return text


def duration(text: str) -> int:
    """Minutes in a text such as ``8h`` or ``90m``.

    Raises:
        typer.BadParameter: It has another form, or is longer than a day.
    """
    match = re.fullmatch(r"(\d{1,4})([hm])", text)
    minutes = int(match[1]) * (60 if match[2] == "h" else 1) if match else 0
    if not 1 <= minutes <= MAX_MINUTES:
        raise typer.BadParameter(f"{text!r} is not a time such as 8h or 90m, at most 24h")
    return minutes


def require_gpu_types(*names: str) -> None:
    """Check that the types are in the catalog; empty names are skipped.

    Raises:
        typer.BadParameter: One of them is not.
    """
    from gpustation.catalog.gpu_types import gpu_types

    for name in filter(None, names):
        if name not in gpu_types():
            raise typer.BadParameter(
                f"{name!r} is not an EC2 type with a GPU in the catalog; `gpustation types --all` "
                "lists them"
            )


Context = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        "-c",
        metavar="KEY=VALUE",
        parser=assignment,
        help="A setting, as in `cdk deploy`; may be repeated.",
    ),
]
App = Annotated[
    str, typer.Option("--app", "-a", metavar="APP", help="The app, or its cloud assembly.")
]

IMAGE_ID = r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})"


def epilog(command: str, *statuses: int) -> str:
    """Epilog of a help text: an example, and the exit statuses with their common meanings.

    Args:
        command: The example.
        statuses: Exit statuses besides 0, usage error and no access.
    """
    known = {status: MEANINGS[status] for status in (0, USAGE, NO_ACCESS, *statuses)}
    return f"{example(command)}\n\n{exit_statuses(known)}"


def example(command: str) -> str:
    """Paragraph of an epilog with an example."""
    return f"\b\nExample:\n  {command}"


def exit_statuses(meanings: dict[int, str]) -> str:
    """Epilog of a help text with the exit statuses, sorted."""
    # Click does not rewrap a paragraph that starts with \b
    lines = ["\b", "Exit status:"]
    lines += [f"{status:4}  {meanings[status]}" for status in sorted(meanings)]
    return "\n".join(lines)


def matching(pattern: str, rule: str, text: str) -> str:
    """Parser for values that match a pattern completely.

    Raises:
        typer.BadParameter: The text does not match; the message ends with the rule.
    """
    if not re.fullmatch(pattern, text):
        raise typer.BadParameter(f"{text!r} is {rule}")
    return text


def _image_id(text: str) -> str:
    rule = (
        "not a valid image id: ami- and 17 (formerly 8) digits of 0-9a-f; "
        "`gpustation image list` lists them"
    )
    return matching(IMAGE_ID, rule, text)


ImageId = Annotated[str, typer.Argument(parser=_image_id, metavar="AMI", help="Id of the image.")]
