"""The person's own environment over root's: real virtual environments in a scratch home.

Only a real pip and a real shell show whose packages come first. No network: the package is ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine_bench import USERDATA

from tests.support.wheels import wheel

SCRIPT = USERDATA / "home/personal_environment.py"
KERNEL = USERDATA / "phases/50-start-jupyter/start-kernel.sh"
MINOR = "{}.{}".format(*sys.version_info)
BEGIN = "# gpustation: the environment's python3, pip and jupyter; without it, the system's"


@dataclass
class Person:
    """A home folder under root's environment."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def env(self) -> Path:
        return self.folder / "opt/env"

    @property
    def constraints(self) -> Path:
        return self.folder / "constraints.txt"

    @property
    def layer(self) -> Path:
        return self.home / ".local/share/gpustation"

    def give(self, framework: str = "mxnet", *options: str) -> str:
        """Run the script; returns what it says, empty where all is well."""
        command = ["-I", SCRIPT, self.env, framework, self.constraints, *options]
        done = self.run(sys.executable, *command)
        assert bool(done.returncode) == bool(done.stderr), done
        assert "Traceback" not in done.stderr
        return done.stderr.strip()

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        path = "/usr/local/bin:/usr/bin:/bin"
        return subprocess.run(
            command,
            cwd=self.home,
            env={"HOME": str(self.home), "PATH": path, "PIP_NO_INDEX": "1"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def shell(self, script: str, *options: str, **environment: str) -> str:
        """Output of a script in bash with these options; by default as a login shell."""
        done = self.run("bash", *(options or ("-l",)), "-c", script, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root's environment, in which a framework is installed, and a home that has its layer."""
    folder = tmp_path_factory.mktemp("person")
    env = folder / "opt/env"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", env], check=True)
    packages = env / f"lib/python{MINOR}/site-packages"
    (packages / "framework.py").write_text("WHOSE = 'root'\n")
    with zipfile.ZipFile(wheel(folder, "numpy", "1.23.5", numpy="WHOSE = 'root'\n")) as numpy:
        numpy.extractall(packages)
    (folder / "constraints.txt").write_text("numpy==1.23.5\n")
    (folder / "home").mkdir()
    made = Person(folder)
    (made.home / ".bashrc").write_text("case $- in *i*) ;; *) return ;; esac\nPATH=$PATH:/last\n")
    (made.home / ".profile").write_text('. "$HOME/.bashrc"\n')
    assert made.give("mxnet", "bash") == ""
    return folder


@pytest.fixture
def person(base: Path, tmp_path: Path) -> Person:
    """A home of its own; environments know their place, so it is made anew where one is needed."""
    for part in ("opt", "constraints.txt"):
        (tmp_path / part).symlink_to(base / part)
    (tmp_path / "home").mkdir()
    return Person(tmp_path)


def test_pip_installs_into_the_persons_own_and_the_frameworks_stays(base: Path) -> None:
    made = Person(base)
    before = sorted(made.env.rglob("*"))
    package = wheel(base, "extra", "1.0", extra="WHOSE = 'person'\n")
    made.shell(f"pip install -q --disable-pip-version-check {package}")
    assert made.shell(
        "python3 -c 'import extra, framework; print(extra.WHOSE, framework.WHOSE)'"
    ) == ("person root")
    assert sorted(path for path in made.env.rglob("*") if "__pycache__" not in str(path)) == [
        path for path in before if "__pycache__" not in str(path)
    ]
    # What root runs sees nothing of it, whatever it is
    hostile = made.layer / f"env/lib/python{MINOR}/site-packages"
    (hostile / "framework.py").write_text("raise SystemExit('hostile')\n")
    (hostile / "sitecustomize.py").write_text("raise SystemExit('hostile')\n")
    done = made.run(made.env / "bin/python", "-I", "-c", "import framework; print(framework.WHOSE)")
    assert done.stdout == "root\n", done.stderr
    for name in ("framework", "sitecustomize"):
        (hostile / f"{name}.py").unlink()


def test_pip_refuses_what_the_framework_cannot_run_with(base: Path) -> None:
    made = Person(base)
    newer = wheel(base, "numpy", "2.0.0", numpy="WHOSE = 'person'\n")
    refused = made.run("bash", "-lc", f"pip install {newer}")
    assert refused.returncode == 1
    assert "The user requested (constraint) numpy==1.23.5" in refused.stderr + refused.stdout
    # The person's own decision: without the file pip changes anything, and root's stays
    settings = made.layer / "env/pip.conf"
    kept = settings.read_text()
    settings.unlink()
    made.shell(f"pip install -q --disable-pip-version-check {newer}")
    assert made.shell("python3 -c 'import numpy; print(numpy.WHOSE)'") == "person"
    made.shell("pip uninstall -q -y numpy")
    assert made.shell("python3 -c 'import numpy; print(numpy.WHOSE)'") == "root"
    settings.write_text(kept)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (("-l",), {}),
        (("-i",), {}),
        (("-l", "-i"), {}),
        # As sshd starts it for `ssh HOST COMMAND`
        ((), {"SSH_CLIENT": "192.0.2.1 1 22", "SHLVL": "0"}),
    ],
    ids=["login", "interactive", "both", "ssh"],
)
def test_each_shell_finds_python_and_pip(
    base: Path, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    made = Person(base)
    done = made.run("bash", *options, "-c", "command -v python3 pip; echo $PATH", **environment)
    python, pip, path = done.stdout.split("\n")[:3]
    assert [python, pip] == [f"{made.layer}/env/bin/{name}" for name in ("python3", "pip")]
    assert path.split(":").count(f"{made.layer}/env/bin") == 1, "once, however many files are read"
    assert path.split(":").index(f"{made.env}/bin") == 1


def test_again_it_changes_nothing_and_a_lost_part_comes_back(base: Path) -> None:
    made = Person(base)
    files = [made.home / ".bashrc", made.home / ".profile", made.layer / "env"]
    before = [(path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files]
    assert made.give("mxnet", "bash") == ""
    assert [(path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files] == before
    (made.layer / "env").unlink()
    python = made.layer / f"mxnet-{MINOR}/bin/python"
    target = python.readlink()
    python.unlink()
    python.symlink_to("/gone/python")
    assert made.give() == ""
    assert made.shell("python3 -c 'import framework; print(framework.WHOSE)'") == "root"
    assert target.name in str(python.readlink())


@pytest.mark.tier("all")
def test_each_framework_has_its_own(base: Path) -> None:
    made = Person(base)
    assert made.give("pytorch") == ""
    assert (made.layer / "env").readlink() == Path(f"pytorch-{MINOR}")
    assert made.give("mxnet") == ""
    assert (made.layer / "env").readlink() == Path(f"mxnet-{MINOR}")


@pytest.mark.tier("all")
def test_one_that_was_cut_off_is_made_anew(person: Person) -> None:
    draft = person.layer / f"mxnet-{MINOR}"
    (draft / "lib").mkdir(parents=True)
    (draft / "bin").write_text("half")
    assert person.give() == ""
    assert person.shell(f"{person.layer}/env/bin/python -c 'import framework'") == ""


def quick(person: Person) -> None:
    """Leave out the environment, which takes seconds: its folder looks whole."""
    own = person.layer / f"mxnet-{MINOR}/lib/python{MINOR}/site-packages/gpustation.pth"
    own.parent.mkdir(parents=True)
    own.touch()
    python = person.layer / f"mxnet-{MINOR}/bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)


def test_what_stands_in_the_files_stays_byte_for_byte(person: Person) -> None:
    quick(person)
    text = b"# caf\xe9, and no line end: \xff\r\nalias ll='ls -l'"
    file = person.home / ".bashrc"
    file.write_bytes(text)
    file.chmod(0o600)
    assert person.give("mxnet", "bash") == ""
    written = file.read_bytes()
    assert written.startswith(BEGIN.encode()) and written.endswith(text)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (person.home / ".profile").stat().st_mode & 0o777 == 0o644
    # An earlier release's block is replaced where it stands
    file.write_bytes(b"first\n" + written.replace(b"esac", b"esac # old"))
    assert person.give("mxnet", "bash") == ""
    assert file.read_bytes() == b"first\n" + written
    # One without its end is the person's
    file.write_text(f"{BEGIN}\nmine\n")
    assert person.give("mxnet", "bash") == ""
    assert file.read_text().endswith(f"{BEGIN}\nmine\n")


@pytest.mark.parametrize("name", [".bash_profile", ".bash_login", ".profile"])
def test_the_file_that_a_login_reads_is_taken(person: Person, name: str) -> None:
    quick(person)
    (person.home / name).write_text("# mine\n")
    assert person.give("mxnet", "bash") == ""
    assert BEGIN in (person.home / name).read_text()
    others = {".bash_profile", ".bash_login", ".profile"} - {name}
    assert not [other for other in others if (person.home / other).exists()]


@pytest.mark.parametrize(
    ("shell", "file", "between"),
    [("zsh", ".zshenv", ":"), ("fish", ".config/fish/conf.d/gpustation.fish", " ")],
)
def test_another_login_shell_gets_it_too(
    person: Person, shell: str, file: str, between: str
) -> None:
    """tests/boot/test_first_boot.py logs in with both."""
    quick(person)
    assert person.give("mxnet", shell) == ""
    first = (person.home / file).read_text()
    assert f'"$HOME/.local/share/gpustation/env/bin"{between}{person.env}/bin' in first
    assert BEGIN in (person.home / ".bashrc").read_text()
    assert person.give("mxnet", shell) == ""
    assert (person.home / file).read_text() == first
    # Nothing is written for a shell that nobody uses
    others = {".zshenv", ".config"} - {Path(file).parts[0]}
    assert not [other for other in others if (person.home / other).exists()]


def test_odd_files_are_named_and_nothing_waits(person: Person) -> None:
    quick(person)
    os.mkfifo(person.home / ".bashrc")
    (person.home / ".profile").mkdir()
    said = person.give("mxnet", "bash")
    assert "~/.bashrc: it is no regular file" in said
    assert "~/.profile: " in said
    (person.home / ".bashrc").unlink()
    (person.home / ".bashrc").symlink_to(".bashrc")
    assert "~/.bashrc: " in person.give("mxnet", "bash")
    (person.home / ".bashrc").unlink()
    (person.home / "dotfiles").mkdir()
    (person.home / ".bashrc").symlink_to("dotfiles/bashrc")
    assert "~/.bashrc" not in person.give("mxnet", "bash")
    assert (person.home / ".bashrc").is_symlink()
    assert BEGIN in (person.home / "dotfiles/bashrc").read_text()


def test_an_environment_that_does_not_run_is_told_in_one_line(person: Person) -> None:
    (person.folder / "opt").unlink()
    said = person.give("mxnet", "bash")
    assert said.startswith("~/.local/share/gpustation: ")
    assert len(said.splitlines()) == 1
    assert BEGIN in (person.home / ".bashrc").read_text(), "the rest is done"


def test_a_kernel_runs_in_the_persons_own_and_without_it_in_roots(person: Person) -> None:
    for folder in (person.layer / "env/bin", person.folder / "bin"):
        folder.mkdir(parents=True)
        stub = folder / "python"
        stub.write_text(f'#!/bin/sh\necho "{folder.parent.name}: $@"\ncommand -v python\n')
        stub.chmod(0o755)
    start = ["bash", KERNEL, person.folder, "mxnet", person.constraints, "-f", "connection.json"]
    started = "-m ipykernel_launcher -f connection.json\n"
    # The second line is what !python and !pip of a notebook find
    assert person.run(*start).stdout == f"env: {started}{person.layer}/env/bin/python\n"
    shutil.rmtree(person.layer)
    (person.home / ".local/share").chmod(0o500)
    without = person.run(*start)
    assert without.stdout.endswith(f": {started}{person.folder}/bin/python\n")
    assert "env: " not in without.stdout
