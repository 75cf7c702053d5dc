import io
import os
import tarfile
from pathlib import Path

import pytest

from gpustation.scripts_archive import ScriptsArchive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "run.sh").write_text("echo run\n")
    (tmp_path / "lib" / "a.sh").write_text("echo a\n")
    (tmp_path / "bootstrap" / "agent.py").write_text("travels otherwise\n")
    return tmp_path


def names(archive: ScriptsArchive) -> list[str]:
    return tarfile.open(fileobj=io.BytesIO(archive.content)).getnames()


def test_holds_the_scripts_and_not_the_bootstrap(folder: Path) -> None:
    assert names(ScriptsArchive.of(folder)) == ["lib/a.sh", "run.sh"]


def test_times_modes_and_leftovers_do_not_change_the_bytes(folder: Path) -> None:
    before = ScriptsArchive.of(folder)
    os.utime(folder / "run.sh", (0, 0))
    (folder / "run.sh").chmod(0o700)
    (folder / "lib" / "__pycache__").mkdir()
    (folder / "lib" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    after = ScriptsArchive.of(folder)
    assert after.content == before.content
    assert after.sha256 == before.sha256


def test_another_byte_is_another_hash(folder: Path) -> None:
    before = ScriptsArchive.of(folder).sha256
    (folder / "lib" / "a.sh").write_text("echo b\n")
    assert ScriptsArchive.of(folder).sha256 != before


def test_fails_when_there_is_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run\.sh"):
        ScriptsArchive.of(tmp_path)
