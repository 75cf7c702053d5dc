"""Runs the programs that save something before EC2 interrupts this machine: its hooks.

Those of root are in FOLDER, those of the person in PERSONAL of the home folder. All run side by
side, as systemd runs those of a suspend: there are seconds for all of them together, and one that
hangs takes none from the others. What must be in sequence is one hook.
"""

import dataclasses
import math
import os
import pwd
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from people import home_of, say
from system import ROOT

FOLDER = Path(ROOT + "/etc/gpustation/on-interruption.d")
PERSONAL = Path(".config/gpustation/on-interruption.d")
#: Who owns root's hooks; tests may be somebody else.
ROOT_USER = 0
#: Seconds from the notice until the last hook has ended; EC2 gives 120.
LONGEST = 100.0
#: Seconds before the announced time, for the disks and the shutdown.
MARGIN = 10.0
#: Seconds for hooks even if the announced time is nearer or past: EC2 calls it approximate.
LEAST = 10.0
#: Seconds from SIGTERM to SIGKILL for a hook that does not end in time.
GRACE = 3.0
#: Exit status of the person's hooks if there are none.
NONE = 75
#: Characters of one line of a hook's output.
LINE = 1000
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What hooks get of the watcher's environment: the network of the settings.
PASSED = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclasses.dataclass(frozen=True)
class Found:
    """What is in a folder of hooks.

    Attributes:
        hooks: Those that would run, in the order of their names.
        refused: Why others would not, by name.
    """

    hooks: tuple[Path, ...] = ()
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)


def find(folder: Path, owner: int, closed_for: int) -> Found:
    """Return the hooks in a folder; a name with a dot in front or a tilde at its end is none.

    Args:
        folder: The folder.
        owner: Who must own it and each hook.
        closed_for: Permissions that nobody may have to them: 0o022 for group and others to write.
    """
    try:
        reason = _refusal(folder.lstat(), stat.S_ISDIR, "a folder", owner, closed_for)
        if reason:
            return Found(refused={str(folder): reason})
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return Found()
    except OSError as error:
        return Found(refused={str(folder): str(error)})
    hooks, refused = [], {}
    for name in names:
        if name.startswith(".") or name.endswith("~"):
            continue
        try:
            # Not through a link, whose target or path others may be able to change
            state = (folder / name).lstat()
        except OSError as error:
            refused[name] = str(error)
            continue
        reason = _refusal(state, stat.S_ISREG, "a regular file", owner, closed_for)
        if not reason and not state.st_mode & 0o100:
            reason = "it is not executable"
        if reason:
            refused[name] = reason
        else:
            hooks.append(folder / name)
    return Found(tuple(hooks), refused)


def _refusal(
    state: os.stat_result, kind: Callable[[int], bool], word: str, owner: int, closed_for: int
) -> str:
    """Return why nothing there is run; empty if it is."""
    if not kind(state.st_mode):
        return f"it is not {word}"
    if state.st_uid != owner:
        return f"user {state.st_uid} owns it, and not {owner or 'root'}"
    if state.st_mode & closed_for:
        return "others can write it"
    return ""


def find_roots() -> Found:
    """Return root's hooks."""
    return find(FOLDER, ROOT_USER, 0o022)


def seconds_for(left: float) -> float:
    """Return how many seconds hooks have if EC2 acts in so many seconds."""
    return max(LEAST, min(LONGEST, left - MARGIN))


def environment(action: str, written: str, seconds: float, home: str = "/root") -> dict[str, str]:
    """Return the environment of a hook.

    Args:
        action: What EC2 does.
        written: When, as EC2 writes it.
        seconds: How many the hook has until it is killed.
        home: Home folder of its user.
    """
    return {
        **{name: os.environ[name] for name in PASSED if name in os.environ},
        "PATH": SYSTEM_PATH,
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "GPUSTATION_ACTION": action,
        "GPUSTATION_TIME": written,
        "GPUSTATION_SECONDS_LEFT": str(int(seconds - GRACE)),
    }


@dataclasses.dataclass(frozen=True)
class Command:
    """A hook as a process.

    Attributes:
        name: In messages.
        words: Its command line.
        folder: Where it runs.
        environment: Its variables.
        nothing: Exit status that says that there was nothing to run. Default: none.
    """

    name: str
    words: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    nothing: int | None = None


def commands(
    action: str, written: str, seconds: float, settings: Mapping[str, object]
) -> list[Command]:
    """Return all hooks: root's, and one process for the person's, which runs with their rights."""
    made = [
        Command(path.name, (str(path),), "/", environment(action, written, seconds))
        for path in find_roots().hooks
    ]
    home = home_of(settings)
    own = environment(action, written, seconds, home)
    layer, opt = f"{home}/.local/share/gpustation/env", f"{ROOT}/opt/gpustation/env"
    own["PATH"] = f"{layer}/bin:{opt}/bin:{SYSTEM_PATH}"
    # A process that alone waits if the home folder hangs. With root's Python, not the first one of
    # that PATH: it is root until it knows who owns the folder.
    program = (sys.executable, "-I", "-u", str(Path(__file__).parent), "personal-hooks")
    return [*made, Command("the person's hooks", program, "/", own, nothing=NONE)]


class Run:
    """Hooks while they run.

    Args:
        commands: The hooks; they are started at once.
        seconds: How many they have; then they are ended, with their process groups. Default: as
            many as the process group of this process, which they share.
        refused: Why others are not run, by name.
    """

    def __init__(
        self,
        commands: Sequence[Command],
        seconds: float = math.inf,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self._began, self._seconds, self._warned = time.monotonic(), seconds, False
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._nothing = {command.name: command.nothing for command in commands}
        self._readers: dict[str, threading.Thread] = {}
        #: By name: ``ok``, or what went wrong.
        self.results: dict[str, str] = {}
        for name, reason in (refused or {}).items():
            self._end(name, f"is not run: {reason}")
        for command in commands:
            self._start(command)

    def _start(self, command: Command) -> None:
        name = command.name
        try:
            process = subprocess.Popen(
                command.words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=command.folder,
                env=dict(command.environment),
                start_new_session=self._seconds < math.inf,
            )
        except (OSError, ValueError) as error:  # for example, no interpreter in its first line
            self._end(name, f"could not be started: {error}")
            return
        assert process.stdout
        self._running[name] = process
        # A thread, because a hook whose output nobody reads would wait for ever
        reader = threading.Thread(target=_pass_on, args=(name, process.stdout), daemon=True)
        self._readers[name] = reader
        reader.start()

    @property
    def ended(self) -> bool:
        """Whether no hook runs any more."""
        return not self._running

    def tend(self) -> None:
        """Notice which have ended, and end those whose time is over."""
        past = time.monotonic() - self._began - self._seconds
        if past < -GRACE:
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    nothing = process.returncode == self._nothing[name]
                    self._end(name, "" if nothing else _in_words(process.returncode))
            return
        if not self._warned:
            self._warned = True
            self._signal(signal.SIGTERM)
        # Nothing is reaped in between, so that the number of a group stays its own
        if past >= 0:
            self._signal(signal.SIGKILL)
            # Without waiting: a process that waits for a hanging disk cannot be killed
            for name in list(self._running):
                self._end(name, f"did not end within {self._seconds:.0f} s")

    def wait(self) -> None:
        """Wait until all have ended."""
        while not self.ended:
            self.tend()
            time.sleep(0.1)

    def _signal(self, number: int) -> None:
        for process in self._running.values():
            try:
                os.killpg(process.pid, number)
            except OSError as error:
                say(f"warning: a hook cannot be ended: {error}")

    def _end(self, name: str, result: str) -> None:
        self._running.pop(name, None)
        if name in self._readers:
            # What it left in the background may have its output open for ever
            self._readers.pop(name).join(0.5)
        if result:
            self.results[name] = result
            say(f"{name}: {result}")


def _pass_on(name: str, output: IO[bytes]) -> None:
    """Print what a hook prints, each line with its name."""
    while line := output.readline(LINE):
        say(f"{name}: {line.decode(errors='replace').rstrip()}")


def _in_words(status: int) -> str:
    if status < 0:
        return f"was ended by signal {-status}"
    return f"exited {status}" if status else "ok"


def run_personal() -> int:
    """Run the hooks of the home folder's owner with their rights; return the exit status.

    The watcher ends them with this process, whose process group they share.
    """
    home = os.environ["HOME"]
    try:
        state = Path(home).stat()
    except FileNotFoundError:
        return NONE
    if os.geteuid() == 0:
        # A person's hooks must never be root's
        if state.st_uid == 0:
            return NONE
        become(state.st_uid, state.st_gid)
    os.chdir(home)
    found = find(PERSONAL, os.geteuid(), 0o002)
    if not found.hooks and not found.refused:
        return NONE
    own = [Command(path.name, (f"{home}/{path}",), home, os.environ) for path in found.hooks]
    run = Run(own, refused=found.refused)
    run.wait()
    return 1 if set(run.results.values()) - {"ok"} else 0


def become(uid: int, gid: int) -> None:
    """Give up root's rights for those of a user, in the group given if nobody knows the user."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        os.setgroups([])
    else:
        gid = user.pw_gid
        os.initgroups(user.pw_name, gid)
    os.setgid(gid)
    os.setuid(uid)
