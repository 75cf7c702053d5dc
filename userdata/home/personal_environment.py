"""Creates the person's own environment on top of root's, and adds both to their PATH.

Only root may change root's environment, which the set-up verifies. The person's is a virtual
environment in the home folder, where pip installs packages; it takes precedence, and all other
packages come from root's. Runs as the owner of the home folder, in that folder, at every boot and
when a notebook's kernel starts without an environment.

Usage: personal_environment.py ENV FRAMEWORK CONSTRAINTS [SHELL]

ENV is root's environment. CONSTRAINTS is a file of pip that pins the packages which the framework
needs. With SHELL, the name of the person's login shell, both are added to the PATH of bash and of
that shell.
"""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from authorize_key import read, replace

#: Relative, because the current folder is the home folder.
BASE = Path(".local/share/gpustation")
#: Link to the environment of the current framework and Python.
CURRENT = BASE / "env"
BEGIN = b"# gpustation: the environment's python3, pip and jupyter; without it, the system's"
END = b"# gpustation: end"
#: A login shell reads the first of these that exists; bash reads SHELL_FILE for `ssh HOST COMMAND`.
LOGIN_FILES = (Path(".bash_profile"), Path(".bash_login"), Path(".profile"))
SHELL_FILE = Path(".bashrc")
#: Files that other shells read at every start.
OTHERS_FILES = {"zsh": Path(".zshenv"), "fish": Path(".config/fish/conf.d/gpustation.fish")}
MODE = 0o644


def describe(env: Path) -> tuple[str, str]:
    """Return the minor version of root's Python and its folder of packages.

    Raises:
        OSError: Root's Python does not run.
    """
    program = (
        "import sys, sysconfig\n"
        "print('%d.%d' % sys.version_info[:2], sysconfig.get_path('purelib'))"
    )
    minor, packages = run(env / "bin/python", "-I", "-c", program).split(maxsplit=1)
    return minor, packages


def run(*command: object) -> str:
    """Return a command's output.

    Raises:
        OSError: The command failed; with the end of its output.
    """
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        words = (done.stdout + done.stderr).split()
        raise OSError(f"{command[0]} exited {done.returncode}: {' '.join(words)[-300:]}")
    return done.stdout.strip()


def make(env: Path, framework: str, constraints: str) -> None:
    """Create the environment unless it is complete, and link ``env`` to it.

    Raises:
        OSError: It cannot be created.
    """
    minor, packages = describe(env)
    folder = BASE / f"{framework}-{minor}"
    own = folder / f"lib/python{minor}/site-packages/gpustation.pth"
    python = folder / "bin/python"
    # This file is written last; without it, the creation was interrupted
    if not own.exists():
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        BASE.mkdir(mode=0o755, parents=True, exist_ok=True)
        run(env / "bin/python", "-I", "-m", "venv", folder.absolute())
        (folder / "pip.conf").write_text(
            "# Pins the packages that the framework needs; without this file, pip may change them\n"
            f"[install]\nconstraint = {constraints}\n"
        )
        own.write_text(f"import site; site.addsitedir({packages!r})\n")
    elif not os.access(python, os.X_OK):
        # Root's Python has another path now: replace the links, and keep the packages
        for link in (folder / "bin").glob("python*"):
            link.unlink()
        run(env / "bin/python", "-I", "-m", "venv", "--upgrade", "--without-pip", folder.absolute())
    if not CURRENT.is_symlink() or str(CURRENT.readlink()) != folder.name:
        draft = BASE / ".env"
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder.name)
        draft.replace(CURRENT)


def block(env: Path, fish: bool) -> list[bytes]:
    """Return the lines for a shell's file, in the syntax of POSIX shells or of fish."""
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
    """Return the file with our lines instead of the earlier ones, or at its top."""
    have = old.split(b"\n")
    begin = 0
    if BEGIN in have and END in have[have.index(BEGIN) :]:
        begin = have.index(BEGIN)
        del have[begin : have.index(END, begin) + 1]
    return b"\n".join([*have[:begin], *lines, *have[begin:]])


def put_on_path(path: Path, lines: list[bytes]) -> None:
    """Write our lines to a shell's file; if it is a link, to the file that it points to.

    Raises:
        OSError: The file cannot be read and written.
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
    """Return the files that bash reads, and those of this login shell if it is another."""
    login = next((path for path in LOGIN_FILES if os.path.lexists(path)), LOGIN_FILES[-1])
    others = [OTHERS_FILES[shell]] if shell in OTHERS_FILES else []
    return [SHELL_FILE, login, *others]


def main() -> None:
    """Create environment and lines; a failure of one does not prevent the others."""
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
        except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
            faults.append(f"~/{path}: {explain(error)}")
    if faults:
        sys.exit("; ".join(faults))


def explain(error: Exception) -> str:
    """Return the error's text without the path, which the caller adds."""
    return getattr(error, "strerror", "") or str(error)


if __name__ == "__main__":
    main()
