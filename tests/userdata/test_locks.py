from __future__ import annotations

import io
import json
import re
import urllib.error
import urllib.request
import zipfile
from typing import Any

import pytest
from machine_bench import USERDATA

from tests.support.package_index import index_url

LOCKS = USERDATA / "locks"
PYTHONS = ("3.11", "3.12", "3.13")
"""What PyTorch's lock is for."""
SIZE = "# installed: "
ALL = ["mxnet.lock", "pytorch.lock", "uv.lock"]
ARCHITECTURES: dict[str, Any] = json.loads((LOCKS / "pytorch-architectures.json").read_text())


def pins(lock: str) -> dict[str, list[str]]:
    """Requirement lines of a lock to their hashes; any other kind of line is a mistake."""
    found: dict[str, list[str]] = {}
    lines = (LOCKS / lock).read_text().splitlines()
    for line in lines[1:] if lines[0].startswith(SIZE) else lines:
        if pin := re.fullmatch(r"([a-z0-9-]+==[^ ]+)(?: ;[^\\]+)? \\", line):
            hashes = found.setdefault(pin[1], [])
        else:
            digest = re.fullmatch(r"    --hash=sha256:([0-9a-f]{64})(?: \\)?", line)
            assert digest, f"{lock}: {line}"
            hashes.append(digest[1])
    return found


@pytest.mark.parametrize("lock", ALL)
def test_every_package_is_pinned_with_hashes_and_nothing_else_is_in_the_lock(lock: str) -> None:
    assert all(pins(lock).values())


@pytest.mark.parametrize("lock", [lock for lock in ALL if lock != "uv.lock"])
def test_lock_says_how_much_it_installs(lock: str) -> None:
    first = (LOCKS / lock).read_text().partition("\n")[0]
    assert re.fullmatch(SIZE + r"\d{4} MiB", first)


@pytest.mark.parametrize("lock", ALL)
def test_lock_holds_what_its_input_pins(lock: str) -> None:
    text = (LOCKS / lock).with_suffix(".in").read_text()
    wanted = re.findall(r"^[a-z0-9-]+==[^ ]+", text, re.MULTILINE)
    assert wanted
    assert set(wanted) <= set(pins(lock))


@pytest.mark.parametrize("python", PYTHONS)
def test_architectures_are_of_the_wheel_in_the_lock(python: str) -> None:
    wheel = ARCHITECTURES["wheels"][python]
    assert wheel["sha256"] in pins("pytorch.lock")[f"torch=={ARCHITECTURES['version']}"]


class RemoteFile(io.RawIOBase):
    """A file on a web server, read by ranges."""

    def __init__(self, address: str, size: int) -> None:
        self.address, self.size, self.position = address, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = (0, self.position, self.size)[whence] + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        end = min(self.position + len(buffer), self.size)
        if self.position >= end:
            return 0
        ranges = {"Range": f"bytes={self.position}-{end - 1}"}
        request = urllib.request.Request(self.address, headers=ranges)
        with urllib.request.urlopen(request, timeout=60) as answer:
            if answer.status != 206:
                pytest.skip("the package index does not answer ranges")
            data = answer.read()
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def find_wheel(name: str) -> tuple[str, str, int]:
    """Address, sha256 and size of a wheel, as the index tells them."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    request = urllib.request.Request(f"{index_url()}/torch/", headers=accept)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            files = json.load(answer)["files"]
    except (urllib.error.URLError, TimeoutError) as error:
        pytest.skip(f"the package index does not answer: {error}")
    (file,) = [file for file in files if file["filename"] == name]
    return file["url"], file["hashes"]["sha256"], file["size"]


@pytest.mark.network
@pytest.mark.parametrize("python", PYTHONS)
def test_architectures_are_what_the_wheel_says(python: str) -> None:
    wheel = ARCHITECTURES["wheels"][python]
    address, digest, size = find_wheel(wheel["name"])
    assert digest == wheel["sha256"]
    with zipfile.ZipFile(io.BufferedReader(RemoteFile(address, size), 1 << 20)) as archive:
        version = archive.read("torch/version.py").decode()
        library = archive.read("torch/lib/libtorch_python.so")
    # The string behind torch.cuda.get_arch_list(): sm_ is machine code, compute_ is PTX.
    (flags,) = re.findall(rb"\x00((?:(?:sm|compute)_\d+[a-z]? ?)+)\x00", library)
    kinds = dict.fromkeys(("sm", "compute"), ())
    found = {kind: re.findall(rf"{kind}_(\d+)(\d)", flags.decode()) for kind in kinds}
    assert [".".join(pair) for pair in found["sm"]] == ARCHITECTURES["architectures"]
    assert [".".join(pair) for pair in found["compute"]] == ARCHITECTURES["ptx"]
    assert f"'{ARCHITECTURES['cuda']}'" in version
