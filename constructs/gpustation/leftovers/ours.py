"""What counts as ours: by its tags, and by its name where a thing may have no tags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpustation.tags import OWNER_TAG

STACK_NAMES = ("GpuWorkstation", "GpuImage", "GpuDeployRole")
"""The stacks of this project, by the names that they have unless somebody changes that."""

STACK_NAME_TAG = "aws:cloudformation:stack-name"
STACK_ID_TAG = "aws:cloudformation:stack-id"
BUILDER_TAG = "Ec2ImageBuilderArn"
"""Image Builder's own tag of what it makes; its value is the image's ARN with its build number."""

_ID = r"[0-9A-F]{8}-"
SHAPES = (
    re.compile(rf"-(QuotaCheck|ImageChoice)Handler(Function|Logs|Role){_ID}"),
    re.compile(rf"-Generation\d+Machine(Role|InstanceInstanceProfile){_ID}"),
    re.compile(rf"^CFN-Generation\d+MachineSettings{_ID}"),
)
"""Names that CloudFormation makes of our logical ids, whatever the stack is called."""


@dataclass(frozen=True)
class Names:
    """Tells ours from others'.

    Attributes:
        stacks: Names of our stacks, for what bears no tag of ours.
    """

    stacks: Sequence[str] = STACK_NAMES

    def reason(self, tags: Mapping[str, str], name: str = "") -> str:
        """Why a thing is ours; empty when it is not.

        Args:
            tags: Its tags.
            name: Its name, where CloudFormation or a service chose that.
        """
        for key, value in sorted(tags.items()):
            if key == OWNER_TAG or key.startswith(f"{OWNER_TAG}:"):
                return f"tag {key}={value}"
        if tags.get(STACK_NAME_TAG) in self.stacks:
            return f"tag {STACK_NAME_TAG}={tags[STACK_NAME_TAG]}"
        recipe = tags.get(BUILDER_TAG, "").partition(":image/")[2]
        if recipe.startswith(self._recipes):
            return f"tag {BUILDER_TAG}={tags[BUILDER_TAG]}"
        named = name.startswith(self._prefixes) or any(shape.search(name) for shape in SHAPES)
        return "its name" if named else ""

    def is_stack(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a stack is ours, or may be: ``GpuWorkstation-team`` is looked at as well."""
        return bool(self.reason(tags)) or name.startswith(tuple(self.stacks))

    @property
    def _recipes(self) -> tuple[str, ...]:
        """How our images' recipes begin (``GpuImageStack`` names them)."""
        return tuple(f"{name.lower()}-" for name in self.stacks)

    @property
    def _prefixes(self) -> tuple[str, ...]:
        stacks = tuple(f"{start}{name}-" for name in self.stacks for start in ("", "/aws/lambda/"))
        builds = tuple(f"/aws/imagebuilder/{recipe}" for recipe in self._recipes)
        return (*stacks, *builds, *self._recipes, f"/{OWNER_TAG}/")
