"""Sockets inside a machine's network namespace, and the forwarding between it and the host."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16
ESTABLISHED = "01"
"""A state in /proc/net/tcp."""
T = TypeVar("T")


def inside(pid: int, make: Callable[[], T]) -> T:
    """Call `make` in the network namespace of a process; what sockets it makes stay there.

    Raises:
        OSError: The namespace has ended, or `make` failed.
    """
    made: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        # The namespace is the thread's own: no other thread sees the change
        try:
            with Path("/proc", str(pid), "ns/net").open() as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())
        except OSError as fault:
            faults.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return made[0]


class Forwarder:
    """Carries each connection of a listening socket to another address, both ways.

    Args:
        listener: A bound socket, on whichever side.
        connect: Makes the other side's connection.
        own: Serve processes of this user only. Default: everybody.
    """

    def __init__(
        self,
        listener: socket.socket,
        connect: Callable[[], socket.socket],
        *,
        own: bool = False,
    ) -> None:
        self._listener = listener
        self._connect = connect
        self._own = own
        self._open: set[socket.socket] = set()
        listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening and cut what is open."""
        for each in (self._listener, *list(self._open)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        try:
            if self._own and peer_user(near) != os.geteuid():
                raise PermissionError("a process of another user")
            far = self._connect()
        except OSError:
            near.close()
            return
        both = {near, far}
        self._open |= both
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        self._open -= both
        for each in both:
            each.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def peer_user(connection: socket.socket) -> int | None:
    """The user whose process holds the other end of a connection within this computer.

    None if it is closed: the kernel's table shows a closed end as root's.
    """
    peer, own = (_in_table(end()) for end in (connection.getpeername, connection.getsockname))
    for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, _, _, _, user = line.split()[:8]
        if (local, remote, state) == (peer, own, ESTABLISHED):
            return int(user)
    return None


def _in_table(address: tuple[str, int]) -> str:
    """An IPv4 address as /proc/net/tcp has it: a number in the computer's byte order."""
    number = int.from_bytes(socket.inet_aton(address[0]), sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"


def listen(address: str, port: int) -> socket.socket:
    """A bound socket."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made
