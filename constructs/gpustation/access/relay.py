"""Connects this process's input and output to a machine's SSH server, as ssh's ProxyCommand."""

from __future__ import annotations

import os
import selectors
import socket

CONNECT_SECONDS = 15.0
_SIZE = 65536


def relay(address: str, port: int, given: int = 0, out: int = 1) -> None:
    """Copy bytes in both directions until one side ends.

    Args:
        address: IPv4 address of the machine.
        port: Its port.
        given: File descriptor to read from. Default: standard input.
        out: File descriptor to write to. Default: standard output.

    Raises:
        OSError: The connection failed, or was lost.
    """
    with socket.create_connection((address, port), CONNECT_SECONDS) as connection:
        connection.settimeout(None)
        with selectors.DefaultSelector() as ready:
            ready.register(given, selectors.EVENT_READ)
            ready.register(connection, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    if key.fileobj is connection:
                        received = connection.recv(_SIZE)
                        if not received:
                            return
                        _write_all(out, received)
                        continue
                    sent = os.read(given, _SIZE)
                    if not sent:  # ssh has ended
                        return
                    connection.sendall(sent)


def _write_all(out: int, received: bytes) -> None:
    while received:
        received = received[os.write(out, received) :]
