"""Changes one setting in the text of cdk.json, and nothing else in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from gpustation.console.errors import CommandError
from gpustation.console.state_folder import replace_file


@dataclass(frozen=True)
class Change:
    """A change that is not written yet.

    Attributes:
        path: The file.
        old: The present value; ``None`` if the setting is not there.
        text: The file's new text.
    """

    path: Path
    old: object
    text: str

    def write(self) -> None:
        """Write it atomically; the file keeps its mode."""
        replace_file(self.path, self.text, self.path.stat().st_mode & 0o7777)


def change(path: Path, key: str, value: str) -> Change:
    """The change of a setting to a text.

    Raises:
        CommandError: There is no such file, or it is not the configuration of a CDK app.
    """
    if not path.exists():
        raise CommandError(
            f"there is no {path.name} in {path.parent.absolute()}; run this in the folder of the "
            "project"
        )
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
        context = whole["context"]
        old = context.get(key)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise CommandError(f'{path} is not a cdk.json with a "context" in it') from error
    new, shown = text, json.dumps(value)
    if key in context:
        present = re.compile(rf'("{re.escape(key)}"\s*:\s*){re.escape(json.dumps(old))}')
        new = present.sub(lambda match: match[1] + shown, text, count=1)
    else:
        opening = re.compile(r'("context"\s*:\s*\{)(\s*)')
        comma = "," if context else ""
        new = opening.sub(
            lambda match: f'{match[1]}{match[2]}"{key}": {shown}{comma}{match[2]}', text, count=1
        )
    # The text was not parsed by these expressions, so the result must prove itself
    if json.loads(new) != {**whole, "context": {**context, key: value}}:
        raise CommandError(f'{path} has an unusual form; set "{key}": {shown} in it by hand')
    return Change(path, old, new)
