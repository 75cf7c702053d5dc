"""The tag ``Name``, which the EC2 console shows."""

from __future__ import annotations

from aws_cdk import Tags
from constructs import Construct

_PRIORITY = 200
"""Higher than that of CDK's own tags ``Name``, 100."""


def plain_path(construct: Construct) -> str:
    """A construct's path without the id ``Default``, which CDK omits in logical ids too."""
    return "/".join(part for part in construct.node.path.split("/") if part != "Default")


def tag_name(construct: Construct) -> None:
    """Tags a resource with its path, as CDK does, but without the id ``Default``."""
    Tags.of(construct).add("Name", plain_path(construct), priority=_PRIORITY)
