"""EC2 Image Builder's components, recipes and configurations: kept, checked, refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ministack.core.responses import get_account_id, get_region

from localaws.awstoe.document import Document, DocumentError, parse
from localaws.awstoe.execution import Component
from localaws.errors import ApiError

Properties = Mapping[str, Any]
COMPONENT, RECIPE, IMAGE = "component", "image-recipe", "image"
INFRASTRUCTURE, DISTRIBUTION = "infrastructure-configuration", "distribution-configuration"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_NAME = re.compile(r"[-_A-Za-z0-9][-_A-Za-z0-9 ]{1,126}[-_A-Za-z0-9]")
DATA_CHARACTERS = 16000
"""The longest document that a component takes as Data (its CloudFormation schema)."""


@dataclass
class Entry:
    """One resource of Image Builder, with its properties in CloudFormation's form."""

    arn: str
    kind: str
    properties: Properties
    document: Document | None = None
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
        """Its version, as x.y.z."""
        return str(self.properties.get("Version", ""))


class ImageBuilder:
    """Everything that the account has in Image Builder."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def all(self, kind: str) -> list[Entry]:
        """The region's resources of a kind."""
        start = arn_of(kind, "")
        return [one for one in list(self._entries.values()) if one.arn.startswith(start)]

    def get(self, arn: str, kind: str) -> Entry:
        """A resource by its ARN; of a component's versions the newest that the ARN means."""
        if arn in self._entries:
            return self._entries[arn]
        pattern = re.escape(arn).replace("x", r"[^/]*") + r"(/\d+)?"
        found = [one for one in self.all(kind) if re.fullmatch(pattern, one.arn)]
        if not found:
            raise ApiError(
                "ResourceNotFoundException", f"The resource with arn '{arn}' does not exist.", 404
            )
        return max(found, key=lambda one: tuple(map(int, one.version.split("."))))

    def find(self, arn: str) -> Entry | None:
        """A resource by its exact ARN."""
        return self._entries.get(arn)

    def add(self, kind: str, properties: Properties) -> Entry:
        """A new resource, or Image Builder's refusal."""
        name = str(properties.get("Name", ""))
        if not _NAME.fullmatch(name):
            raise ApiError("InvalidParameterValueException", f"The name '{name}' is not valid.")
        arn = arn_of(kind, name)
        document = None
        if kind in (COMPONENT, RECIPE):
            version = str(properties.get("Version"))
            if not _VERSION.fullmatch(version):
                raise ApiError("InvalidVersionNumberException", f"'{version}' is not x.y.z.")
            arn += f"/{version}"
        if kind == COMPONENT:
            arn, document = f"{arn}/1", _document(properties)
        if arn in self._entries:
            raise ApiError(
                "ResourceAlreadyExistsException",
                f"Resource of type '{kind}' with identifier '{arn}' already exists.",
            )
        entry = Entry(arn, kind, dict(properties), document)
        if kind == RECIPE:
            self.components(entry)
        self._entries[arn] = entry
        return entry

    def keep(self, entry: Entry) -> None:
        """Add an image that was built."""
        self._entries[entry.arn] = entry

    def change(self, arn: str, properties: Properties) -> Entry:
        """Other properties in place."""
        entry = self._entries[arn]
        entry.properties = dict(properties)
        return entry

    def remove(self, arn: str) -> None:
        """Delete a resource, if nothing depends on it."""
        for recipe in self.all(RECIPE) if f":{COMPONENT}/" in arn else []:
            used = [one["ComponentArn"] for one in recipe.properties.get("Components") or []]
            if arn in [self.get(one, COMPONENT).arn for one in used]:
                raise ApiError(
                    "ResourceDependencyException",
                    f"The resource '{arn}' has the dependent resource '{recipe.arn}'.",
                )
        self._entries.pop(arn, None)

    def components(self, recipe: Entry) -> list[Component]:
        """The components of a recipe in its order, each with all its parameters."""
        found = []
        for used in recipe.properties.get("Components") or []:
            entry = self.get(used["ComponentArn"], COMPONENT)
            assert entry.document is not None
            given = {one["Name"]: one["Value"][0] for one in used.get("Parameters") or []}
            missing = {name for name, value in entry.document.values.items() if value is None}
            wrong = sorted((given.keys() - entry.document.parameters) | (missing - given.keys()))
            if wrong:
                raise ApiError(
                    "InvalidParameterValueException",
                    f"component {entry.name}: unknown or missing parameters {', '.join(wrong)}",
                )
            found.append(Component(entry.name, entry.document, given))
        return found


def arn_of(kind: str, name: str) -> str:
    """The beginning of the ARN of a resource."""
    slug = re.sub(r"[^a-z0-9-_]", "-", name.lower())
    return f"arn:aws:imagebuilder:{get_region()}:{get_account_id()}:{kind}/{slug}"


def _document(properties: Properties) -> Document:
    data = properties.get("Data")
    if not data or len(data) > DATA_CHARACTERS:
        raise ApiError(
            "InvalidParameterValueException",
            f"a component needs Data of 1 to {DATA_CHARACTERS} characters here; Uri is not known",
        )
    try:
        return parse(data)
    except DocumentError as error:
        raise ApiError(
            "InvalidRequestException", f"The component data is not valid: {error}"
        ) from error
