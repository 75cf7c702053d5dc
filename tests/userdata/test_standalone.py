"""What install.sh takes a machine for, and what it refuses."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine_bench import USERDATA

from gpustation.catalog.frameworks import DRIVER_BRANCH

T4, V100, A100 = "0x1eb8", "0x1db5", "0x20b0"
PERSON = "nobody"


def attach(root: Path, *devices: tuple[str, str], vendor: str = "0x10de") -> None:
    """Put devices, as (class, device id), on the PCI bus."""
    for number, (kind, device) in enumerate(devices):
        folder = root / f"sys/bus/pci/devices/0000:00:{number:02x}.0"
        folder.mkdir(parents=True)
        (folder / "vendor").write_text(vendor + "\n")
        (folder / "class").write_text(kind + "\n")
        (folder / "device").write_text(device + "\n")


def ask(
    root: Path,
    *words: str,
    user: str | None = PERSON,
    tool: str = "install/standalone.py",
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    people = () if user is None else ("--user", user)
    return subprocess.run(
        [sys.executable, USERDATA / tool, *words, *people],
        env={
            "PATH": os.environ["PATH"],
            "GPUSTATION_ROOT": str(root),
            "HOME": str(root / "root"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def settings(root: Path, *words: str, **environment: str) -> dict[str, Any]:
    done = ask(root, "--framework", "mxnet", *words, **environment)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("devices", "gpus", "kind", "fabric"),
    [
        ([("0x030200", T4)], 1, "open", False),
        ([("0x030000", T4), ("0x030200", T4), ("0x040300", "0x10f8")], 2, "open", False),
        ([("0x030200", V100)] * 4, 4, "proprietary", False),
        ([("0x030200", A100)] * 8 + [("0x068000", "0x1af1")] * 6, 8, "open", True),
        ([("0x030200", T4), ("0x030200", V100)], 2, "proprietary", False),
    ],
    ids=["T4", "two, with sound", "Volta", "NVSwitch", "old beside new"],
)
def test_gpus_are_read_from_the_bus(
    tmp_path: Path, devices: list[tuple[str, str]], gpus: int, kind: str, fabric: bool
) -> None:
    attach(tmp_path, *devices)
    found = settings(tmp_path)
    assert (found["gpus"], found["driver_kind"], found["fabric_manager"]) == (gpus, kind, fabric)


@pytest.mark.parametrize("device", ["", "no number", "0x"])
def test_odd_device_ids_end_in_no_trace(tmp_path: Path, device: str) -> None:
    attach(tmp_path, ("0x030200", device))
    assert settings(tmp_path)["driver_kind"] == "proprietary"


def test_fails_when_the_nvswitches_need_a_subnet_manager(tmp_path: Path) -> None:
    attach(tmp_path, *[("0x030200", "0x2901")] * 8)
    done = ask(tmp_path, "--framework", "pytorch")
    assert done.returncode == 1
    assert "need NVIDIA's NVLink Subnet Manager" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "opt/nvidia/nvlsm").mkdir(parents=True)
    assert settings(tmp_path)["gpus"] == 8


def test_driver_branch_is_the_librarys(tmp_path: Path) -> None:
    attach(tmp_path, ("0x030200", T4))
    assert settings(tmp_path)["driver_branch"] == f"{DRIVER_BRANCH}-server"


def test_options_become_settings(tmp_path: Path) -> None:
    attach(tmp_path, ("0x030200", T4))
    found = settings(tmp_path, "--no-notebooks", "--cuda-toolkit")
    assert (found["notebooks"], found["cuda_toolkit"], found["user"]) == (False, True, PERSON)
    assert found["home"].startswith("/")


PROXY, INDEX = "http://me:secret@proxy.example:3128", "https://mirror.example/simple"


@pytest.mark.parametrize(
    ("environment", "words", "found"),
    [
        ({}, [], ("", "")),
        ({}, ["--proxy", PROXY, "--package-index", INDEX], (PROXY, INDEX)),
        ({"https_proxy": PROXY, "PIP_INDEX_URL": INDEX}, [], (PROXY, INDEX)),
        ({"HTTP_PROXY": PROXY, "UV_DEFAULT_INDEX": INDEX}, [], (PROXY, INDEX)),
        ({"https_proxy": PROXY}, ["--proxy", "none", "--package-index", "none"], ("", "")),
        ({"https_proxy": "http://other:1"}, ["--proxy", PROXY], (PROXY, "")),
    ],
)
def test_proxy_and_index_are_the_callers_unless_named(
    tmp_path: Path, environment: dict[str, str], words: list[str], found: tuple[str, str]
) -> None:
    attach(tmp_path, ("0x030200", T4))
    told = settings(tmp_path, *words, **environment)
    assert (told["proxy"], told["package_index"]) == found
    # Again, as sudo calls it without the environment
    (tmp_path / "var/lib/gpustation").mkdir(parents=True)
    (tmp_path / "var/lib/gpustation/settings.json").write_text(json.dumps(told))
    again = settings(tmp_path)
    assert (again["proxy"], again["package_index"]) == found


def test_the_index_of_pips_own_file_is_taken(tmp_path: Path) -> None:
    attach(tmp_path, ("0x030200", T4))
    (tmp_path / "etc").mkdir()
    for text, found in (
        (f"[global]\nindex-url = {INDEX}\n", INDEX),
        ("[global]\ntimeout = 60\n", ""),
        ("no section\n", ""),
        ("[global]\nindex-url = %(x)s://\n", None),
    ):
        (tmp_path / "etc/pip.conf").write_text(text)
        if found is None:
            refused = ask(tmp_path, "--framework", "mxnet")
            assert (refused.returncode, "--package-index: must be" in refused.stderr) == (2, True)
        else:
            assert settings(tmp_path)["package_index"] == found


@pytest.mark.parametrize(
    "value",
    [
        *("proxy.example:3128", "socks5://proxy.example:1", "http://", "ftp://x", "http://a b"),
        *('http://a"b', "http://a'b", "http://a\\b", "http://a\nB=c", "file:///etc/passwd"),
    ],
)
@pytest.mark.parametrize("option", ["--proxy", "--package-index"])
def test_an_address_that_cannot_be_is_refused_and_not_shown(
    tmp_path: Path, option: str, value: str
) -> None:
    attach(tmp_path, ("0x030200", T4))
    refused = ask(tmp_path, "--framework", "mxnet", option, value)
    assert refused.returncode == 2
    assert f"argument {option}: must be http" in refused.stderr
    if value != "http://":  # which the rule itself holds
        assert value not in refused.stderr.splitlines()[-1]


@pytest.mark.parametrize("vendor", ["0x1002", None])
def test_fails_when_there_is_no_gpu(tmp_path: Path, vendor: str | None) -> None:
    if vendor:
        attach(tmp_path, ("0x030000", "0x7360"), vendor=vendor)
    done = ask(tmp_path, "--framework", "mxnet")
    assert done.returncode == 1
    assert done.stderr.startswith("install.sh: no NVIDIA GPU on the PCI bus; attach one")
    assert done.stdout == ""


def test_fails_when_the_machine_belongs_to_a_stack(tmp_path: Path) -> None:
    attach(tmp_path, ("0x030200", T4))
    (tmp_path / "etc/gpustation").mkdir(parents=True)
    (tmp_path / "etc/gpustation/bootstrap.json").write_text("{}")
    done = ask(tmp_path, "--framework", "mxnet")
    assert done.returncode == 1
    assert "this machine belongs to a stack" in done.stderr


@pytest.mark.skipif(getpass.getuser() != "root", reason="root's own name is refused")
def test_fails_when_jupyter_would_be_roots(tmp_path: Path) -> None:
    attach(tmp_path, ("0x030200", T4))
    done = ask(tmp_path, "--framework", "mxnet", user="root")
    assert done.stderr == (
        "install.sh: --user root: Jupyter must not run as root; name an ordinary user\n"
    )


def capability(framework: str, rows: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, USERDATA / "gpu/check_capability.py", framework],
        input=rows,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("rows", ["", "Tesla T4, 7.5\n", "NVIDIA L4, 8.9\nNVIDIA L4, 8.9\n"])
def test_gpu_with_code_in_the_wheel_passes(rows: str) -> None:
    assert capability("mxnet", rows).returncode == 0


@pytest.mark.parametrize(
    ("framework", "row", "remedy"),
    [
        ("mxnet", "NVIDIA H100 80GB HBM3, 9.0", "take --framework pytorch"),
        ("pytorch", "Tesla V100-SXM2-16GB, 7.0", "take --framework mxnet"),
        ("pytorch", "Tesla K80, 3.7", "no framework here runs on it"),
    ],
)
def test_gpu_without_code_in_the_wheel_is_refused(framework: str, row: str, remedy: str) -> None:
    done = capability(framework, f"Tesla T4, 7.5\n{row}\n")
    gpu, _, number = row.partition(", ")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{gpu} has compute capability {number}, and the wheel of ")
    assert done.stderr.endswith(f"only; {remedy}\n")
