"""Processes and commands of this machine, for the samples of collect.py."""

import dataclasses
import os
import re
import subprocess
import time
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
PROC = Path(ROOT + "/proc")
#: Seconds for one command; the driver of a GPU may hang.
COMMAND_SECONDS = 10.0
#: How /proc/PID/syscall begins while a program waits 10 ms for one socket, by machine: number of
#: the call, address, number of sockets, and milliseconds for poll (ppoll has them in memory).
SOCKET_WAITS = {"x86_64": r"7 \S+ 0x1 0xa\s", "aarch64": r"73 \S+ 0x1\s"}


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


def read_switches(pid: int) -> float:
    """Return how often a process's main thread has waited for something.

    Raises:
        OSError: It has ended.
    """
    status = (PROC / str(pid) / "status").read_text(errors="replace")
    found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
    return float(found[1]) if found else 0.0


def asks_for_a_socket(pid: int, looks: int = 10) -> bool:
    """Return whether a process's main thread waits 10 ms for one socket, again and again.

    It is looked at until it does, because on a busy CPU it may wait for that.

    Raises:
        OSError: It has ended, or Linux does not tell.
    """
    waits = SOCKET_WAITS.get(os.uname().machine)
    for look in range(looks):
        call = (PROC / str(pid) / "syscall").read_text()
        if waits and re.match(waits, call):
            return True
        if not call.startswith("running"):
            return False
        time.sleep(0.002 * look)
    return False


def _unit(cgroup: str) -> str:
    """Return the system's unit of a cgroup: ``ssh.service`` of ``/system.slice/ssh.service``."""
    for part in cgroup.split("/"):
        if part.endswith((".service", ".scope", ".socket", ".mount")):
            return part
    return cgroup.strip("/")
