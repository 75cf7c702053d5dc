"""Where packages come from is the person's own configuration: mirrors, proxies, offline copies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from localaws.machines.booted import root as roots
from tests.support.package_index import index_url

HOSTS = ("pypi org", "pythonhosted org", "npmjs org", "npmjs com", "debian org", "ubuntu com")
"""Split, so that this file names none."""


def test_no_file_names_the_host_of_a_package_registry(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    hosts = [host.replace(" ", ".") for host in HOSTS]
    for name in filter(None, listed):
        path = root / name
        if path.is_file() and "__snapshots__" not in path.parts:
            content = path.read_bytes()
            assert not [host for host in hosts if host.encode() in content], name


def test_the_index_is_what_pip_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    index_url.cache_clear()
    monkeypatch.setenv("PIP_INDEX_URL", "http://index.example/simple/")
    assert index_url() == "http://index.example/simple"
    index_url.cache_clear()


@pytest.mark.parametrize("name", roots.DISTRIBUTIONS)
def test_a_root_without_sources_of_this_computer_is_left_to_mmdebstrap(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keyring = tmp_path / "keyring.gpg"
    monkeypatch.setattr(roots, "debian_sources", lambda: None)
    monkeypatch.setattr(roots, "DEBIAN_KEYRING", keyring)
    monkeypatch.setattr(roots, "UBUNTU_KEYRING", keyring)
    with pytest.raises(roots.RootError, match=r"needs the package (debian-archive|ubuntu)-keyring"):
        roots.DISTRIBUTIONS[name].sources()
    keyring.touch()
    assert roots.DISTRIBUTIONS[name].sources() == ""
