"""A machine that is a record, as Image Builder's components see it: no command is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localaws.machines.host import Fetch, Output

SIMULATED = "simulated: no machine boots, so this was not run"


class RecordHost:
    """A record. Its scripts would change this computer, so they are not run; files are written.

    Args:
        root: The folder that stands for its root file system.
        fetch: Reads an object from S3 as the machine's role.
        faults: Faults of stubbed commands; the one of `bash` applies to the scripts.
    """

    def __init__(self, root: Path, fetch: Fetch, faults: Mapping[str, Any]) -> None:
        self._root = root
        self.fetch = fetch
        self._fault = faults.get("bash")

    def await_boot(self) -> None:
        """Do nothing: a record is up at once."""

    def bash(self, script: str, _seconds: float) -> Output:
        """Return the planned fault, or a note that nothing was run."""
        fault = self._fault
        if fault and fault.get("when", "") in script:
            return Output(int(fault.get("exit", 1)), "", str(fault.get("stderr", "")))
        return Output(0, SIMULATED)

    def write(self, path: str, content: bytes) -> None:
        """Write a file into the folder."""
        target = self._root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def reboot(self) -> None:
        """Do nothing: a record runs nothing that a reboot would end."""
