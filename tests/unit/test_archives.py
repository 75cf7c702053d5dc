import io
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from gpustation.synth.archives import package_zip, scripts_tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "scripts"
    (folder / "lib").mkdir(parents=True)
    (folder / "bootstrap").mkdir()
    (folder / "run.sh").write_text("echo run\n")
    (folder / "lib" / "a.sh").write_text("echo a\n")
    (folder / "bootstrap" / "agent.py").write_text("travels otherwise\n")
    return folder


def test_the_tar_holds_the_scripts_and_not_the_bootstrap(folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(scripts_tar(folder))) as archive:
        assert archive.getnames() == ["lib/a.sh", "run.sh"]


def test_the_zip_holds_the_package_under_its_name(folder: Path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(package_zip(folder)))
    assert archive.namelist() == ["scripts/lib/a.sh", "scripts/run.sh"]
    assert archive.read("scripts/run.sh") == b"echo run\n"
    mode = archive.getinfo("scripts/run.sh").external_attr >> 16
    assert mode == 0o644, "Lambda must be able to read it"


@pytest.mark.parametrize("pack", [scripts_tar, package_zip])
def test_times_modes_and_leftovers_do_not_change_the_bytes(folder: Path, pack) -> None:
    before = pack(folder)
    os.utime(folder / "run.sh", (0, 0))
    (folder / "run.sh").chmod(0o700)
    (folder / "lib" / "__pycache__").mkdir()
    (folder / "lib" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    assert pack(folder) == before


LEFTOVERS = [
    *("a.sh~", ".#a.sh", "#a.sh#", ".a.sh.swp", "a.sh.swp", "a.sh.orig", "a.sh.rej", "a.sh.bak"),
    *(".DS_Store", "Thumbs.db", "Untitled.ipynb", "Untitled1.ipynb", "a.pyc"),
    *(".ipynb_checkpoints/a-checkpoint.ipynb", "__pycache__/a.cpython-312.pyc", ".git/HEAD"),
]


@pytest.mark.parametrize("name", LEFTOVERS)
@pytest.mark.parametrize("pack", [scripts_tar, package_zip])
def test_what_editors_and_jupyter_leave_does_not_change_the_bytes(
    folder: Path, pack, name: str
) -> None:
    before = pack(folder)
    for place in (folder, folder / "lib"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("left by accident\n")
    assert pack(folder) == before


def test_no_file_of_the_checkout_is_taken_for_a_leftover(root: Path) -> None:
    listed = subprocess.check_output(["git", "ls-files"], cwd=root / "userdata", text=True)
    wanted = {name for name in listed.splitlines() if not name.startswith("bootstrap/")}
    with tarfile.open(fileobj=io.BytesIO(scripts_tar(root / "userdata"))) as archive:
        assert wanted <= {*archive.getnames()}


@pytest.mark.parametrize("pack", [scripts_tar, package_zip])
def test_another_byte_is_another_archive(folder: Path, pack) -> None:
    before = pack(folder)
    (folder / "lib" / "a.sh").write_text("echo b\n")
    assert pack(folder) != before


def test_fails_when_there_is_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run\.sh"):
        scripts_tar(tmp_path)


@pytest.mark.parametrize("pack", [scripts_tar, package_zip])
def test_a_checkout_of_git_for_windows_gives_the_same_bytes(folder: Path, pack) -> None:
    """bash on the machine would fail at the first line of such a script."""
    (folder / "picture").write_bytes(b"\0\r\n")
    before = pack(folder)
    (folder / "run.sh").write_bytes(b"echo run\r\n")
    assert pack(folder) == before
    assert b"\0\r\n" in before
