"""Processes and commands of this machine, for the samples of collect.py."""

import dataclasses
import os
import subprocess
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
PROC = Path(ROOT + "/proc")
#: Seconds for one command; the driver of a GPU may hang.
COMMAND_SECONDS = 10.0


class Hung(OSError):
    """A command that did not end in time.

    Attributes:
        pid: Its process, which may still be there.
    """

    def __init__(self, command: str, pid: int) -> None:
        super().__init__(f"{command} did not end within {COMMAND_SECONDS:.0f} s")
        self.pid = pid


@dataclasses.dataclass
class Process:
    """A process, as /proc has it."""

    pid: int
    parent: int
    uid: int
    started: int
    name: str
    unit: str
    command: str
    #: CPU seconds of its own, and those of its children that have ended.
    cpu: float
    cpu_of_children: float

    @property
    def key(self) -> str:
        """Distinguishes it from another one with the same number."""
        return f"{self.pid}:{self.started}"


def uptime() -> float:
    """Return the seconds since the boot."""
    return float((PROC / "uptime").read_text().split()[0])


def run(*command: str, text: str | None = None) -> str:
    """Return a command's output.

    Raises:
        OSError: It failed, or did not end in time; the message names it.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    try:
        output, _ = process.communicate(text, timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        # Not waited for: a process that waits inside the kernel for a hanging GPU cannot be killed.
        process.kill()
        raise Hung(command[0], process.pid) from None
    if process.returncode:
        raise OSError(f"{command[0]} exited {process.returncode}: {one_line(output)}")
    return output


def one_line(text: str) -> str:
    """Return a text as one line of at most 200 characters."""
    return " ".join(text.split())[:200]


def read_process(path: Path) -> Process | None:
    """Return the process of a folder of /proc; ``None`` if it has ended."""
    try:
        stat = (path / "stat").read_text(errors="replace")
        cgroup = (path / "cgroup").read_text(errors="replace")
        command = (path / "cmdline").read_bytes()
        uid = path.stat().st_uid
    except OSError:
        return None
    # The name is in parentheses, and may itself contain some.
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    ticks = os.sysconf("SC_CLK_TCK")
    unified = [line[3:] for line in cgroup.splitlines() if line.startswith("0::")]
    return Process(
        pid=int(path.name),
        parent=int(fields[1]),
        uid=uid,
        started=int(fields[19]),
        name=name,
        unit=_unit(unified[0] if unified else ""),
        command=command.replace(b"\0", b" ").decode(errors="replace")[:4096],
        cpu=(int(fields[11]) + int(fields[12])) / ticks,
        cpu_of_children=(int(fields[13]) + int(fields[14])) / ticks,
    )


def _unit(cgroup: str) -> str:
    """Return the system's unit of a cgroup: ``ssh.service`` of ``/system.slice/ssh.service``."""
    for part in cgroup.split("/"):
        if part.endswith((".service", ".scope", ".socket", ".mount")):
            return part
    return cgroup.strip("/")
