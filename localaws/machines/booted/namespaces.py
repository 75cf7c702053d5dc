"""A machine's namespaces: boot, run commands in them, cut the power."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from localaws.machines.booted import cgroups, instance_store, network

ENTER = Path(__file__).parent / "enter.sh"
NAMESPACES = (
    *("--net", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup"),
    *("--propagation", "private"),
)
METADATA = "169.254.169.254"
PATIENCE = 120
"""Seconds for namespaces and network, which take less than 1 s on an idle computer."""
INSIDE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class BootError(RuntimeError):
    """A machine did not start; nothing of it is left."""


class Namespaces:
    """A machine's disk and, while it runs, the namespaces that it runs in.

    Args:
        lowers: The layers below its disk, the topmost first: an image's layers, the root last.
        disk: Folder of what the machine writes; the same folder is the same disk.
        mac: Address of its network card.

    Attributes:
        store: The disks of its instance store. They outlive a reboot, not a stop.
    """

    def __init__(self, lowers: tuple[Path, ...], disk: Path, mac: str) -> None:
        self.disk = disk
        self.lowers = lowers
        self.store: tuple[instance_store.Disk, ...] = ()
        self._mac = mac
        self._unshare: subprocess.Popen[bytes] | None = None
        self._slirp: subprocess.Popen[bytes] | None = None
        self._cgroup: Path | None = None
        self._pid = 0
        self._forwarders: list[network.Forwarder] = []
        self._lock = threading.RLock()

    @property
    def upper(self) -> Path:
        """What the machine wrote over the root: its files, read from outside."""
        return self.disk / "upper"

    @property
    def runs(self) -> bool:
        """Whether its process 1 lives."""
        return self._unshare is not None and self._unshare.poll() is None

    @property
    def slirp_pid(self) -> int:
        """The process that connects it to the network; when stopped, nothing answers."""
        if self._slirp is None:
            raise BootError("the machine does not run")
        return self._slirp.pid

    def boot(self, prepare: Callable[[Namespaces], None]) -> None:
        """Start it; `prepare` puts servers into its network before its first process runs.

        Raises:
            BootError: It did not start.
        """
        with self._lock:
            self.disk.mkdir(parents=True, exist_ok=True)
            try:
                self._start(prepare)
            except BaseException as fault:
                self.kill()
                if isinstance(fault, OSError | subprocess.SubprocessError):
                    raise BootError(f"the machine did not start: {fault}") from fault
                raise

    def kill(self) -> None:
        """Cut the power: all processes end, the disk is kept."""
        with self._lock:
            for forwarder in self._forwarders:
                forwarder.close()
            self._forwarders.clear()
            for process in (self._unshare, self._slirp):
                if process is not None:
                    process.kill()
                    process.wait()
            self._unshare = self._slirp = None
            self._pid = 0
            if self._cgroup is not None:
                cgroups.remove(self._cgroup)
                self._cgroup = None

    def insert_store(self, sizes: Iterable[int]) -> None:
        """Give it blank disks of these sizes in GB, unless it has its disks.

        Raises:
            OSError: There are not enough loop devices.
        """
        if not self.store:
            self.disk.mkdir(parents=True, exist_ok=True)
            self.store = instance_store.make_disks(sizes, self.disk)

    def drop_store(self) -> None:
        """Take the disks of the instance store away, with what is on them."""
        for disk in self.store:
            disk.close()
        self.store = ()

    def wait(self) -> int | None:
        """Wait until process 1 ends: by SIGHUP to restart, by SIGINT to power off."""
        unshare = self._unshare
        return None if unshare is None else unshare.wait()

    def remove(self) -> None:
        """Cut the power and delete the disk."""
        self.kill()
        self.drop_store()
        shutil.rmtree(self.disk, ignore_errors=True)

    def run(self, *command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root."""
        return subprocess.run(
            [*self._enter(), "--", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={"PATH": INSIDE_PATH, "LANG": "C.UTF-8"},
        )

    def write(self, path: str, content: bytes) -> None:
        """Write a file inside; its folder is made where it is not there.

        Raises:
            subprocess.CalledProcessError: It could not be written.
        """
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat >"$1"'
        command = [*self._enter(), "--", "/bin/sh", "-c", script, "sh", path]
        subprocess.run(command, input=content, capture_output=True, check=True, timeout=PATIENCE)

    def listen_inside(self, address: str, port: int) -> socket.socket:
        """A bound socket in the machine's network."""
        return network.inside(self._pid, lambda: network.listen(address, port))

    def connect_inside(self, port: int) -> socket.socket:
        """A connection to a port of the machine's own loopback, as Session Manager makes it."""
        return network.inside(self._pid, lambda: socket.create_connection(("127.0.0.1", port), 10))

    def carry_out(self, port: int, target: int) -> None:
        """Forward a port of the machine's loopback to a port of this computer's."""
        forwarder = network.Forwarder(
            self.listen_inside("127.0.0.1", port),
            lambda: socket.create_connection(("127.0.0.1", target), 10),
        )
        self._forwarders.append(forwarder)

    def carry_in(self, port: int) -> int:
        """Forward a new port of this computer's loopback to a port of the machine's.

        Only processes of this user may connect.
        """
        listener = network.listen("127.0.0.1", 0)
        connect = functools.partial(self.connect_inside, port)
        forwarder = network.Forwarder(listener, connect, own=True)
        self._forwarders.append(forwarder)
        return forwarder.port

    def open(self, address: str, port: int, admits: Callable[[], bool]) -> None:
        """Make a port of the machine reachable at an address of this computer's loopback.

        Nothing happens if the port is taken, e.g. by this computer's own SSH server, which listens
        at all addresses. Only processes of this user may connect.

        Args:
            address: An address of this computer.
            port: The port, there and in the machine.
            admits: Asked at each connection; without permission it is closed at once.
        """

        def connect() -> socket.socket:
            if not admits():
                raise PermissionError(f"no security group opens port {port}")
            return self.connect_inside(port)

        with contextlib.suppress(OSError):
            listener = network.listen(address, port)
            self._forwarders.append(network.Forwarder(listener, connect, own=True))

    def _require_systemd(self) -> None:
        """Wait until process 1 is systemd: before that its root is still this computer's.

        Raises:
            BootError: There is no such process.
        """
        deadline = time.monotonic() + PATIENCE
        while self.runs and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if Path("/proc", str(self._pid), "comm").read_text().strip() == "systemd":
                    return
            time.sleep(0.01)
        raise BootError("the machine does not run")

    def _enter(self) -> list[str]:
        """The beginning of a command that runs inside."""
        self._require_systemd()
        return ["nsenter", "-t", str(self._pid), "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w"]

    def _start(self, prepare: Callable[[Namespaces], None]) -> None:
        self._cgroup = cgroups.create(self.disk.name)
        shutil.rmtree(self.disk / "block", ignore_errors=True)
        if self.store:
            instance_store.describe(self.store, self.disk / "block")
        # Into its cgroup first: the cgroup namespace begins where the process is then
        command = 'echo 0 >"$1/cgroup.procs"; shift; exec "$@"'
        self._unshare = subprocess.Popen(
            [
                *("bash", "-c", command, "bash", str(self._cgroup), "unshare", *NAMESPACES),
                *(str(ENTER), ":".join(map(str, self.lowers)), str(self.disk)),
                *(str(disk.device) for disk in self.store),
            ],
            stdin=subprocess.PIPE,
            stdout=(self.disk / "enter.log").open("wb"),
            stderr=subprocess.STDOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        self._pid = self._first_process(self._unshare)
        self._network()
        prepare(self)
        assert self._unshare.stdin is not None
        self._unshare.stdin.write(b"go\n")
        self._unshare.stdin.close()

    def _first_process(self, unshare: subprocess.Popen[bytes]) -> int:
        """The host's number of the machine's process 1."""
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and unshare.poll() is None:
            with contextlib.suppress(OSError):
                if pids := children.read_text().split():
                    own = Path("/proc", pids[0], "ns/net").readlink()
                    if own != Path("/proc/self/ns/net").readlink():
                        return int(pids[0])
            time.sleep(0.01)
        raise BootError(f"no machine: {(self.disk / 'enter.log').read_text().strip()}")

    def _network(self) -> None:
        """Loopback with the metadata service's address, and eth0 with a way out."""
        ready, write = os.pipe()
        try:
            self._slirp = subprocess.Popen(
                [
                    *("slirp4netns", "--disable-host-loopback", f"--ready-fd={write}"),
                    *(str(self._pid), "eth0"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=(self.disk / "slirp.log").open("wb"),
                stderr=subprocess.STDOUT,
                pass_fds=(write,),
            )
        finally:
            os.close(write)
        try:
            if os.read(ready, 1) != b"1":
                raise BootError(f"no network: {(self.disk / 'slirp.log').read_text().strip()}")
        finally:
            os.close(ready)
        script = (
            f"ip link set lo up && ip address add {METADATA}/32 dev lo && "
            f"ip link set eth0 address {self._mac}"
        )
        enter = ["nsenter", "-t", str(self._pid), "-n"]
        subprocess.run([*enter, "sh", "-c", script], check=True, capture_output=True)
