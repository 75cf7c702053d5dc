"""Hosts for a person's own ssh, e.g. that of an editor: files that ``~/.ssh/config`` includes.

Each workstation has a file of its own. The person's file gets one line, at its beginning, because
ssh takes the first value of an option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gpustation.console.state_folder import replace_file

COMMENT = "# gpustation: hosts of `gpustation ssh-config`"
_MODE = 0o600


@dataclass(frozen=True)
class PersonConfig:
    """The files.

    Attributes:
        main: The person's ``~/.ssh/config``.
        folder: Folder of the included files.
    """

    main: Path
    folder: Path

    @property
    def include(self) -> str:
        """The line in the person's file."""
        return f'Include "{self.folder}/*.conf"'

    @property
    def is_included(self) -> bool:
        """Whether the person's file has the line."""
        return self.include in self._text().splitlines()

    def file_of(self, alias: str) -> Path:
        """The file of a workstation."""
        return self.folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', alias)}.conf"

    def add(self, alias: str, block: str) -> None:
        """Write the file of a workstation, and the line, if it is missing.

        Raises:
            OSError: A file cannot be written; the person's file is then as it was.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.file_of(alias), block)
        if not self.is_included:
            self._write(f"{COMMENT}\n{self.include}\n\n{self._text()}")

    def remove(self, alias: str) -> bool:
        """Remove the file of a workstation, and the line with the last file.

        Returns:
            Whether there was one.

        Raises:
            OSError: A file cannot be written.
        """
        existed = self.file_of(alias).exists()
        self.file_of(alias).unlink(missing_ok=True)
        if not any(self.folder.glob("*.conf")) and self.is_included:
            text = self._text()
            for ours in (f"{COMMENT}\n{self.include}\n\n", f"{COMMENT}\n", f"{self.include}\n"):
                text = text.replace(ours, "", 1)
            self._write(text)
        return existed

    def _text(self) -> str:
        # Bytes that are not UTF-8 survive, as surrogates
        try:
            return self.main.read_bytes().decode(errors="surrogateescape")
        except FileNotFoundError:
            return ""

    def _write(self, text: str) -> None:
        """Replace the person's file, or the file that a symbolic link leads to."""
        real = self.main.resolve()
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = real.stat().st_mode & 0o777 if real.exists() else _MODE
        replace_file(real, text, mode)
