"""Gives the person an environment of their own over root's, and puts both on their PATH.

Root's environment is what the set-up verifies; nobody else may change it. Over it lies a virtual
environment in the home folder, where pip puts what the person installs: that comes first, what is
not in it comes from root's. Runs as the owner of the home folder, in it, and again wherever the
environment is missing: at a boot, or when a notebook's kernel starts.

Usage: personal_environment.py ENV FRAMEWORK CONSTRAINTS [SHELL]

ENV is root's environment. CONSTRAINTS is the file that keeps pip from replacing what the framework
needs as it is. With SHELL, the name of the person's login shell, the PATH of its login and SSH
shells gets both, and bash's too.
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from authorize_key import read, replace

#: Relative: the caller has entered the home folder.
BASE = Path(".local/share/gpustation")
#: Leads to the environment of today's framework and Python.
CURRENT = BASE / "env"
BEGIN = b"# gpustation: the environment's python3, pip and jupyter; without it, the system's"
END = b"# gpustation: end"
#: What a login shell reads, the first that there is, and what bash reads for `ssh HOST COMMAND`.
LOGIN_FILES = (Path(".bash_profile"), Path(".bash_login"), Path(".profile"))
SHELL_FILE = Path(".bashrc")
#: What other login shells read first, whatever they are started for.
OTHERS_FILES = {"zsh": Path(".zshenv"), "fish": Path(".config/fish/conf.d/gpustation.fish")}
MODE = 0o644


def ask(env: Path) -> tuple[str, str]:
    """Return version and folder of packages of root's environment.

    Raises:
        OSError: It does not run.
    """
    program = (
        "import sys, sysconfig\n"
        "print('%d.%d' % sys.version_info[:2], sysconfig.get_path('purelib'))"
    )
    minor, packages = run(env / "bin/python", "-I", "-c", program).split(maxsplit=1)
    return minor, packages


def run(*command: object) -> str:
    """Return what a command prints.

    Raises:
        OSError: It failed; with the end of what it said.
    """
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        words = (done.stdout + done.stderr).split()
        raise OSError(f"{command[0]} exited {done.returncode}: {' '.join(words)[-300:]}")
    return done.stdout.strip()


def make(env: Path, framework: str, constraints: str) -> None:
    """Make the environment unless it is whole, and let ``env`` lead to it.

    Raises:
        OSError: It cannot be made.
    """
    minor, packages = ask(env)
    folder = BASE / f"{framework}-{minor}"
    own = folder / f"lib/python{minor}/site-packages/gpustation.pth"
    python = folder / "bin/python"
    # The file is written last: without it a try was cut off
    if not own.exists():
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
        run(env / "bin/python", "-I", "-m", "venv", folder.absolute())
        (folder / "pip.conf").write_text(
            "# Keeps what the framework needs as it is; without this file pip changes anything\n"
            f"[install]\nconstraint = {constraints}\n"
        )
        own.write_text(f"import site; site.addsitedir({packages!r})\n")
    elif not os.access(python, os.X_OK):
        # The Python under it has moved: other links, and the packages stay
        for link in (folder / "bin").glob("python*"):
            link.unlink()
        run(env / "bin/python", "-I", "-m", "venv", "--upgrade", "--without-pip", folder.absolute())
    if not CURRENT.is_symlink() or str(CURRENT.readlink()) != folder.name:
        draft = BASE / ".env"
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder.name)
        draft.replace(CURRENT)


def block(env: Path, fish: bool) -> list[bytes]:
    """Return the lines that a shell reads; any of Bourne's kind does, and fish has its own."""
    mine = b'"$HOME/' + os.fsencode(CURRENT / "bin") + b'"'
    roots = os.fsencode(env / "bin")
    if fish:
        first = b"contains -- " + mine + b" $PATH; or set -gx PATH " + mine + b" "
        return [BEGIN, first + roots + b" $PATH", END]
    return [
        BEGIN,
        b'case ":$PATH:" in',
        b"  *:" + mine + b":*) ;;",
        b"  *) PATH=" + mine + b":" + roots + b":$PATH ;;",
        b"esac",
        END,
    ]


def with_block(old: bytes, lines: list[bytes]) -> bytes:
    """Return the file with our lines in place of those of before, or else at its top."""
    have = old.split(b"\n")
    begin = 0
    if BEGIN in have and END in have[have.index(BEGIN) :]:
        begin = have.index(BEGIN)
        del have[begin : have.index(END, begin) + 1]
    return b"\n".join([*have[:begin], *lines, *have[begin:]])


def put_on_path(path: Path, lines: list[bytes]) -> None:
    """Write our lines into a shell's file; a link to one in the home stays a link.

    Raises:
        OSError: It is no file that can be read and written.
    """
    path = path.resolve() if path.is_symlink() else path
    try:
        old, mode = read(path), stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        old, mode = b"", MODE
    new = with_block(old, lines)
    if new != old:
        replace(path, new, mode)


def files_of(shell: str) -> list[Path]:
    """Return the files that bash reads, and what this login shell reads if it is another."""
    login = next((one for one in LOGIN_FILES if os.path.lexists(one)), LOGIN_FILES[-1])
    others = [OTHERS_FILES[shell]] if shell in OTHERS_FILES else []
    return [SHELL_FILE, login, *others]


def main() -> None:
    """Make what is missing; a fault of one part keeps no other from being made."""
    env, framework, constraints, *shell = Path(sys.argv[1]), *sys.argv[2:]
    faults = []
    try:
        make(env, framework, constraints)
    except OSError as error:
        faults.append(f"~/{BASE}: {explain(error)}")
    for path in files_of(shell[0]) if shell else ():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            put_on_path(path, block(env, fish=path.suffix == ".fish"))
        except (OSError, RuntimeError) as error:  # the latter for a loop of links, before 3.13
            faults.append(f"~/{path}: {explain(error)}")
    if faults:
        sys.exit("; ".join(faults))


def explain(error: Exception) -> str:
    """Return what is wrong, without the path that the caller names."""
    return getattr(error, "strerror", "") or str(error)


if __name__ == "__main__":
    main()
