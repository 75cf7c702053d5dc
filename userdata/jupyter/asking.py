"""Sends requests to a unit's own server on a port of the loopback, and its token to nobody else.

Any user of the machine can listen on a port.
"""

import http.client
import pwd
import subprocess
from pathlib import Path

#: A socket's state in /proc/net/tcp (include/net/tcp_states.h).
LISTEN = "0A"
#: Bytes that are read of a response.
LIMIT = 1 << 20


def listening(port: int) -> set[str]:
    """Return the inodes of the sockets that listen on the port, on any address."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:  # no IPv6
            continue
        for row in map(str.split, rows):
            if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port:
                inodes.add(row[9])
    return inodes


def holders(inodes: set[str]) -> list[int]:
    """Return the ids of the processes that have one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(entry.readlink()) in wanted for entry in (process / "fd").iterdir()):
                processes.append(int(process.name))
        except OSError:  # it has ended, or closed a file meanwhile
            continue
    return sorted(processes)


def control_group(unit: str) -> str:
    """Return the unit's control group; empty while it does not run."""
    command = ["systemctl", "show", "--property=ControlGroup", "--value", unit]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()


def is_of(process: int, group: str) -> bool:
    """Return whether a process runs in a control group or below it."""
    try:
        rows = Path(f"/proc/{process}/cgroup").read_text().splitlines()
    except OSError:
        return False
    paths = [row.split(":", 2)[2] for row in rows]
    return bool(group) and any(path == group or path.startswith(f"{group}/") for path in paths)


def describe(process: int) -> str:
    """Return a process's name, id and user, in printable ASCII."""
    try:
        name = Path(f"/proc/{process}/comm").read_bytes().decode("ascii", "replace").strip()
        uid = Path(f"/proc/{process}").stat().st_uid
    except OSError:
        return f"process {process}"
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in name)
    return f"{plain} (process {process} of user {user})"


def foreign_holders(unit: str, port: int) -> tuple[set[str], list[int]]:
    """Return the sockets on the port, and the processes with them that are not of the unit."""
    group, inodes = control_group(unit), listening(port)
    return inodes, [process for process in holders(inodes) if not is_of(process, group)]


def ask(unit: str, port: int, page: str, token: str) -> tuple[int, bytes, str]:
    """Return HTTP status, body and, if they are not of the unit, who holds the port.

    The status is 0 without a response.

    Args:
        unit: Unit whose processes may get the token.
        port: Port on 127.0.0.1.
        page: Path with its query.
        token: Sent as authorization; empty: the request has none.
    """
    before, others = foreign_holders(unit, port)
    if others or not before:
        return 0, b"", ", ".join(map(describe, others))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.connect()
        # If the listening sockets are the same as before, this connection is to one of them
        after, others = foreign_holders(unit, port)
        if others or after != before:
            return 0, b"", ", ".join(map(describe, others))
        headers = {"Authorization": f"token {token}"} if token else {}
        connection.request("GET", page, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(LIMIT), ""
    except (OSError, http.client.HTTPException):
        return 0, b"", ""
    finally:
        connection.close()
