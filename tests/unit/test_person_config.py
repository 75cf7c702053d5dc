"""A person's own ssh configuration keeps everything but one line."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from gpustation.access.person_config import PersonConfig
from gpustation.access.relay import relay

BLOCK = "Host GpuWorkstation\n  User ubuntu\n"


@pytest.fixture
def config(tmp_path: Path) -> PersonConfig:
    return PersonConfig(tmp_path / "home/.ssh/config", tmp_path / "state/hosts.d")


def test_a_missing_file_is_made_for_its_owner_alone(config: PersonConfig) -> None:
    config.add("GpuWorkstation.us-east-1", BLOCK)
    assert config.include in config.main.read_text().splitlines()
    assert config.main.stat().st_mode & 0o777 == 0o600
    assert config.main.parent.stat().st_mode & 0o077 == 0
    assert config.file_of("GpuWorkstation.us-east-1").read_text() == BLOCK


@pytest.mark.parametrize(
    "before", [b"", b"Host a\n  User b\n", b"# \xff no UTF-8\nHost a", b"Match all\r\n  Port 1\r\n"]
)
def test_everything_else_is_kept_and_comes_back(config: PersonConfig, before: bytes) -> None:
    config.main.parent.mkdir(parents=True)
    config.main.write_bytes(before)
    config.main.chmod(0o640)
    config.add("one.us-east-1", BLOCK)
    config.add("one.us-east-1", BLOCK)
    config.add("two.us-east-1", BLOCK)
    text = config.main.read_bytes()
    assert text.endswith(before) and text.count(config.include.encode()) == 1
    assert config.main.stat().st_mode & 0o777 == 0o640
    assert config.remove("one.us-east-1")
    assert config.is_included
    assert config.remove("two.us-east-1")
    assert config.main.read_bytes() == before
    assert not config.remove("two.us-east-1")


def test_a_symbolic_link_stays_one(config: PersonConfig, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles"
    real.write_text("Host a\n")
    config.main.parent.mkdir(parents=True)
    config.main.symlink_to(real)
    config.add("one.us-east-1", BLOCK)
    assert config.main.is_symlink() and config.include in real.read_text()


def test_a_name_is_no_path(config: PersonConfig) -> None:
    assert config.file_of("../../x y").parent == config.folder


def test_bytes_go_both_ways_until_one_side_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        given, to_relay = os.pipe()
        from_relay, out = os.pipe()
        port = server.getsockname()[1]
        thread = threading.Thread(target=relay, args=("127.0.0.1", port, given, out))
        thread.start()
        peer, _ = server.accept()
        with peer:
            os.write(to_relay, b"\x00from ssh")
            assert peer.recv(100) == b"\x00from ssh"
            peer.sendall(b"from the machine")
            assert os.read(from_relay, 100) == b"from the machine"
        thread.join(30)
        assert not thread.is_alive()
    for descriptor in (given, to_relay, from_relay, out):
        os.close(descriptor)
