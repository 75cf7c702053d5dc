"""Options that several verbs have."""

from __future__ import annotations

import re
from typing import Annotated

import typer

Region = Annotated[
    str,
    typer.Option(
        metavar="REGION",
        help="AWS region. Default: AWS_REGION, AWS_DEFAULT_REGION, then the profile's.",
    ),
]
Stack = Annotated[str, typer.Option(metavar="STACK", help="Whole name of the workstation's stack.")]
Name = Annotated[
    str,
    typer.Option(metavar="NAME", help="The setting name: the stack GpuWorkstation-NAME."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def exit_statuses(meanings: dict[int, str]) -> str:
    """The end of a help: one line for each status, in the order of numbers."""
    # The first line keeps the parser from filling the rest like prose
    lines = ["\b", "Exit status:"]
    lines += [f"{status:4}  {meanings[status]}" for status in sorted(meanings)]
    return "\n".join(lines)


def assignment(text: str) -> str:
    """A value of ``-c``.

    Raises:
        typer.BadParameter: It is no ``KEY=VALUE``.
    """
    key, equals, _ = text.partition("=")
    if not (key and equals):
        raise typer.BadParameter(
            f"{text!r} is no KEY=VALUE, and the CDK CLI would ignore it; e.g. -c disk_gib=100"
        )
    return text


def matching(pattern: str, rule: str, text: str) -> str:
    """A value that a pattern matches whole.

    Raises:
        typer.BadParameter: With the rule.
    """
    if not re.fullmatch(pattern, text):
        raise typer.BadParameter(f"{text!r} is {rule}")
    return text
