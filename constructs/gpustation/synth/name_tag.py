"""The value of the tag ``Name``, which EC2's console shows."""

from __future__ import annotations

from aws_cdk import Tags
from constructs import Construct

_OVER_CDKS = 200
"""Priority: CDK's own names have 100."""


def plain_path(construct: Construct) -> str:
    """A construct's path, without the ids that CDK leaves out of logical ids."""
    return "/".join(part for part in construct.node.path.split("/") if part != "Default")


def tag_name(construct: Construct) -> None:
    """Give a resource the name that CDK gives it, its path, without such ids."""
    Tags.of(construct).add("Name", plain_path(construct), priority=_OVER_CDKS)
