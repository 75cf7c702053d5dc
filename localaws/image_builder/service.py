"""The resources of EC2 Image Builder, with the refusals that the construct GpuImage can meet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ministack.core.responses import get_account_id, get_region

from localaws.account.errors import ApiError
from localaws.image_builder.document import DocumentError, Phases, parse

Properties = Mapping[str, Any]
COMPONENT, RECIPE, IMAGE = "component", "image-recipe", "image"
INFRASTRUCTURE, DISTRIBUTION = "infrastructure-configuration", "distribution-configuration"
_NAME = re.compile(r"[-_A-Za-z0-9][-_A-Za-z0-9 ]{1,126}[-_A-Za-z0-9]")
DATA_CHARACTERS = 16000
"""The longest document that a component takes as Data (its CloudFormation schema)."""


@dataclass
class Entry:
    """One resource, with its properties under CloudFormation's names.

    Attributes:
        phases: A component's document.
        image_id: The AMI of an image.
        snapshots: The snapshots of that AMI.
        created: When it was created, in ISO 8601.
    """

    arn: str
    kind: str
    properties: Properties
    phases: Phases = field(default_factory=dict)
    image_id: str = ""
    snapshots: tuple[str, ...] = ()
    created: str = field(
        default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds")
    )

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.properties["Name"])

    @property
    def version(self) -> str:
        """Its version as x.y.z; empty for a configuration."""
        return str(self.properties.get("Version", ""))


class ImageBuilder:
    """All Image Builder resources of the account."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def all(self, kind: str) -> list[Entry]:
        """The region's resources of a kind."""
        prefix = arn_of(kind, "")
        return [entry for entry in list(self._entries.values()) if entry.arn.startswith(prefix)]

    def get(self, arn: str) -> Entry:
        """A resource by its ARN.

        Raises:
            ApiError: There is none.
        """
        if arn not in self._entries:
            raise ApiError(
                "ResourceNotFoundException", f"The resource with arn '{arn}' does not exist.", 404
            )
        return self._entries[arn]

    def find(self, arn: str) -> Entry | None:
        """A resource by its ARN, if there is one."""
        return self._entries.get(arn)

    def add(self, kind: str, properties: Properties) -> Entry:
        """Create a resource.

        Raises:
            ApiError: The name, the document or a component of the recipe is not valid, or the
                version exists.
        """
        name = str(properties.get("Name", ""))
        if not _NAME.fullmatch(name):
            raise ApiError("InvalidParameterValueException", f"The name '{name}' is not valid.")
        arn = arn_of(kind, name)
        phases: Phases = {}
        if kind in (COMPONENT, RECIPE):
            arn += f"/{properties['Version']}"
        if kind == COMPONENT:
            arn, phases = f"{arn}/1", _parsed(properties)
        if arn in self._entries:
            raise ApiError(
                "ResourceAlreadyExistsException",
                f"Resource of type '{kind}' with identifier '{arn}' already exists.",
            )
        entry = Entry(arn, kind, dict(properties), phases)
        if kind == RECIPE:
            self.components(entry)
        self._entries[arn] = entry
        return entry

    def keep(self, entry: Entry) -> None:
        """Add an image that was built."""
        self._entries[entry.arn] = entry

    def change(self, arn: str, properties: Properties) -> Entry:
        """Replace a resource's properties."""
        entry = self._entries[arn]
        entry.properties = dict(properties)
        return entry

    def remove(self, arn: str) -> None:
        """Delete a resource.

        Raises:
            ApiError: A recipe needs the component.
        """
        for recipe in self.all(RECIPE):
            if arn in [component.arn for component in self.components(recipe)]:
                raise ApiError(
                    "ResourceDependencyException",
                    f"Resource dependency error: The resource ARN '{arn}' has other resources "
                    "depended on it.",
                )
        self._entries.pop(arn, None)

    def components(self, recipe: Entry) -> list[Entry]:
        """The components of a recipe, in its order."""
        return [self.get(row["ComponentArn"]) for row in recipe.properties.get("Components") or []]


def arn_of(kind: str, name: str) -> str:
    """The ARN of a resource without its version."""
    slug = re.sub(r"[^a-z0-9-_]", "-", name.lower())
    return f"arn:aws:imagebuilder:{get_region()}:{get_account_id()}:{kind}/{slug}"


def _parsed(properties: Properties) -> Phases:
    data = properties.get("Data")
    if not data or len(data) > DATA_CHARACTERS:
        raise ApiError(
            "InvalidParameterValueException",
            f"Data must have 1 to {DATA_CHARACTERS} characters; the embedded AWS knows no Uri",
        )
    try:
        return parse(data)
    except DocumentError as error:
        raise ApiError(
            "InvalidRequestException", f"The component data is not valid: {error}"
        ) from error
