"""One machine that boots: its namespaces, its metadata service and its output."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from localaws.machines.booted.namespaces import BootError, Namespaces
from localaws.machines.metadata import MachineFacts, MetadataServer

UNIT = "gpustation.service"


@dataclass
class BootedMachine:
    """One machine that boots.

    Attributes:
        namespaces: Its disk, and the namespaces that it runs in.
        wanted: Whether it should run.
    """

    namespaces: Namespaces
    facts: MachineFacts
    metadata: MetadataServer | None = None
    wanted: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def root(self) -> Path:
        """Its files: what it wrote over the read-only root."""
        return self.namespaces.upper

    def wait_idle(self, seconds: float) -> bool:
        """Wait until its set-up has ended, well or not; False: it still runs."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.wanted or self._is_settled():
                return True
            time.sleep(0.2)
        return False

    def console(self) -> str:
        """What systemd and cloud-init printed, then the logs of the set-up's phases."""
        files = [self.namespaces.disk / "console", self.root / "var/log/cloud-init-output.log"]
        logs = self.root / "var/log/gpustation"
        if logs.is_dir():
            files += sorted(logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        return "".join(path.read_text(errors="replace") for path in files if path.exists())

    def _is_settled(self) -> bool:
        try:
            shown = self.namespaces.run(
                "systemctl", "show", UNIT, "-p", "ActiveState,SubState", "--value"
            )
        except (BootError, OSError):
            return False
        return shown.stdout.split() in (["active", "exited"], ["failed", "failed"])
