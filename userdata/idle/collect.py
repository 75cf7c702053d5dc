"""Samples what moves on this machine, for decide.py.

Counters are compared with those of the sample before. Work of the machine itself is not counted:
programs in ``UPKEEP``, and the servers that only carry a connection (``CARRIERS``). What runs
anywhere else counts: sessions, containers, cron, ``systemd-run``, notebooks.
"""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asking import ask
from decide import SIGNALS, Sample
from system import (
    PROC,
    ROOT,
    Hung,
    Process,
    asks_for_a_socket,
    one_line,
    read_process,
    read_switches,
    run,
    uptime,
)

CGROUPS = Path(ROOT + "/sys/fs/cgroup")
TERMINALS = Path(ROOT + "/dev/pts")
STATE = Path(ROOT + "/var/lib/gpustation")
SCRATCH = Path(ROOT + "/scratch")
#: Exists while the instance store is mounted there: phase 15-mount-scratch made it in this boot.
MOUNTED = Path(ROOT + "/run/gpustation/scratch")

#: Units whose work is the machine's own: patterns of systemctl.
UPKEEP = """
gpustation.service gpustation-i*.service gpustation-metadata.service
apt-*.service unattended-upgrades.service packagekit.service dpkg-*.service
snapd*.service *amazon-ssm-agent*.service ec2-instance-connect*.service
ssh.service ssh@*.service sshd.service sshd@*.service
systemd-[!n]*.service systemd-networkd*.service dbus.service polkit.service
rsyslog.service syslog.service cloud-*.service chrony.service networkd-dispatcher.service
multipathd.service acpid.service irqbalance.service udisks2.service ModemManager.service
fwupd*.service man-db.service motd-news.service logrotate.service fstrim.service
e2scrub*.service update-notifier-*.service ua-*.service esm-cache.service apport*.service
needrestart*.service sysstat*.service nvidia-persistenced.service nvidia-fabricmanager.service
"""
#: The control group of the idle stop itself and of the watch for EC2's interruptions.
OWN_SLICE = "gpustation.slice"
#: Control groups whose work is the machine's own: that of PID 1, and that one.
OWN_GROUPS = ("init.scope", OWN_SLICE)
#: Those whose downloads happen while they run, and only then. unattended-upgrades.service always
#: runs, waiting for the shutdown; the upgrades are of apt-daily-upgrade.service.
UPGRADES = ("apt-daily",)
#: Those whose processes are a person's if sshd does not use PAM: then no login has a session.
LOGINS = ("ssh.", "ssh@", "sshd.", "sshd@")
#: The command line of sshd's process for a login.
LOGIN = re.compile(r"sshd(-session)?: [^ \[]+@")
#: The lowest number of an ordinary user (login.defs).
FIRST_USER = 1000
#: Programs that only carry a connection or watch files: parts of a process's command line.
CARRIERS = re.compile(
    r"^(sshd(-session|-auth)?:|/usr/sbin/sshd|/usr/lib/openssh/sshd-|(/\S+/)?ssm-)"
    r"|/\.(vscode|cursor|windsurf|vscodium)[^/\s]*-server/|/(code|openvscode)-server/"
    r"|/JetBrains/(RemoteDev|\S*/remote-dev-server)"
)
#: Programs whose bytes on the network are their own: names of processes, as ss prints them.
OWN_TRAFFIC = re.compile(r'\(\("(amazon-ssm-agen|ssm-[^"]*|snapd)"')
JUPYTER = "gpustation-jupyter.service"
#: The command line of an IPython kernel, whoever started it.
KERNEL = re.compile(r"\bipykernel|/kernel-[^/\s]*\.json")
#: How often per second a kernel in input() wakes: it looks for an answer every 10 ms, and later
#: where the CPU is busy (ipykernel 7.4, Kernel._input_request; 96 measured).
ASKS_PER_SECOND = (50.0, 101.0)
#: CPU seconds of the kernel for each time: 0.20 to 0.28 ms measured; more on a slow or busy CPU.
ASK_SECONDS = 0.001
#: Bytes of the headers of IPv4 and TCP with time stamps, which the rules count and ss does not.
HEADERS = 52
TABLE = "gpustation_idle"
RULES = """\
table inet {table}
delete table inet {table}
table inet {table} {{
  counter moved {{ }}
  chain input {{
    type filter hook input priority 10; policy accept;
    iif lo accept
    tcp dport {{ {ports} }} accept
    counter name moved
  }}
  chain output {{
    type filter hook output priority 10; policy accept;
    oif lo accept
    tcp sport {{ {ports} }} accept
    counter name moved
  }}
  chain forward {{
    type filter hook forward priority 10; policy accept;
    counter name moved
  }}
}}
"""
Counters = dict[str, Any]


class Sampler:
    """Takes one sample.

    Args:
        before: Counters of the sample before; empty for the first one of a boot, which has no
            movement.
        port: Port of Jupyter.
    """

    def __init__(self, before: Counters, port: int) -> None:
        self.before, self.port = before, port
        self.counters: Counters = {}
        self.units: dict[str, dict[str, str]] = {}
        self.processes: list[Process] = []
        self.busy_kernels: list[str] = []
        #: CPU seconds of the kernels that wait in input(), since the sample before, by process.
        self.waiting: dict[str, float] = {}

    def sample(self, gpu_samples: int, pause: float) -> Sample:
        """Sample everything; the GPUs as often as given, with a pause of seconds before each."""
        faults: dict[str, str] = {}
        moved: dict[str, float | None] = {}
        collectors: dict[str, Callable[[], float]] = {
            "gpu": lambda: self.gpu(gpu_samples, pause),
            "cpu": self.cpu,
            "disk": self.disk,
            "network": self.network,
            "kernels": self.kernels,
            "input": self.input,
        }
        for name, collect in collectors.items():
            try:
                # After the GPUs, whose samples take most of the time.
                if name == "cpu":
                    self.read_units()
                    self.read_processes()
                    self.read_waiting()
                moved[name] = collect()
            except Exception as error:
                moved[name] = None
                faults[name] = one_line(str(error) or repr(error))
        return Sample(
            at=uptime(),
            moved={name: moved[name] for name in SIGNALS},
            present=self.present(),
            set_up=self.units.get("gpustation.service", {}).get("ActiveState") == "activating",
            faults=faults,
            scratch_gib=scratch_gib(),
        )

    def gpu(self, samples: int, pause: float) -> float:
        """Return the highest use of any GPU in percent."""
        hung = self.before.get("hung")
        if hung and (process := read_process(PROC / str(hung[0]))) and process.started == hung[1]:
            self.counters["hung"] = hung
            raise OSError("nvidia-smi hangs: stop and start the machine")
        highest = 0.0
        for _ in range(samples):
            time.sleep(pause)
            try:
                highest = max(highest, *self._gpu_now())
            except Hung as error:
                # One that cannot be killed is enough.
                if process := read_process(PROC / str(error.pid)):
                    self.counters["hung"] = [process.pid, process.started]
                raise
        return highest

    def _gpu_now(self) -> list[float]:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        lines = run(*command).splitlines()
        values = [line.strip() for line in lines if line.strip()]
        if not values or not all(value.isdigit() for value in values):
            raise OSError(f"nvidia-smi should print percentages: {one_line(' '.join(lines))}")
        return [float(value) for value in values]

    def read_units(self) -> None:
        """Read the state of the machine's own units; they need not exist."""
        wanted = "Id,ActiveState,InvocationID,CPUUsageNSec,MainPID,Slice"
        output = run("systemctl", "show", f"--property={wanted}", JUPYTER, *UPKEEP.split())
        for block in output.split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if "Id" in values:
                self.units[values["Id"]] = values

    def read_processes(self) -> None:
        """Read all processes."""
        self.processes = [
            process
            for path in PROC.iterdir()
            if path.name.isdigit() and (process := read_process(path))
        ]
        for process in self.processes:
            is_login = process.unit.startswith(LOGINS) and process.uid >= FIRST_USER
            if is_login and not self.is_carrier(process):
                self.units.pop(process.unit, None)

    def read_waiting(self) -> None:
        """Find the kernels that have waited in input() since the sample before.

        Each uses 2 % of a core to look for its answer, and so several more than work may.
        """
        now, known = uptime(), self.before.get("waiting", {})
        values: dict[str, list[float]] = {}
        for process in self.processes:
            if not KERNEL.search(process.command) or self.is_upkeep(process):
                continue
            # It may have ended in the meantime.
            with contextlib.suppress(OSError):
                values[process.key] = [now, process.cpu, read_switches(process.pid)]
                if process.key not in known:
                    continue
                changes = zip(values[process.key], known[process.key], strict=True)
                passed, cpu, asked = (new - old for new, old in changes)
                fewest, most = (rate * passed for rate in ASKS_PER_SECOND)
                is_cheap = fewest <= asked <= most and cpu <= ASK_SECONDS * asked
                if is_cheap and asks_for_a_socket(process.pid):
                    self.waiting[process.key] = cpu
        self.counters["waiting"] = values

    def _require_units(self) -> None:
        """Raise an error if the units could not be read; cpu has the reason."""
        if JUPYTER not in self.units:
            raise OSError("systemctl did not tell which programs are the machine's own")

    def is_upkeep(self, process: Process) -> bool:
        """Return whether a process's work is not the person's."""
        if process.unit != JUPYTER and process.unit in self.units:
            return True
        # Kernel threads are in the root, and so is nothing else; PID 1 is in init.scope.
        if process.unit in ("", "init.scope"):
            return True
        return self.is_carrier(process)

    def is_carrier(self, process: Process) -> bool:
        """Return whether a process of the person only carries a connection or watches files."""
        server = self.units.get(JUPYTER, {}).get("MainPID", "0")
        return str(process.pid) == server or bool(CARRIERS.search(process.command))

    def since(self, kind: str, values: dict[str, float]) -> float:
        """Return by how much counters grew; those that are new count from zero.

        Nothing has grown at the first sample.
        """
        self.counters[kind] = values
        before = self.before.get(kind)
        return 0.0 if before is None else sum(_grown(before, values, key) for key in values)

    def cpu(self) -> float:
        """Return the CPU seconds of all programs but upkeep and carriers."""
        self._require_units()
        groups = {}
        for path in CGROUPS.iterdir():
            if path.is_dir() and path.name not in OWN_GROUPS and (path / "cpu.stat").exists():
                usage = re.match(r"usage_usec (\d+)", (path / "cpu.stat").read_text())
                groups[path.name] = int(usage[1]) / 1e6 if usage else 0.0
        if not groups:
            raise OSError(f"{CGROUPS} has no cpu.stat of cgroup v2")
        upkeep = {}
        for name, unit in self.units.items():
            # What is left out above must not be taken off what others use.
            if name == JUPYTER or unit.get("Slice") == OWN_SLICE:
                continue
            # A unit that has ended keeps its last value; each start counts from zero.
            if unit.get("CPUUsageNSec", "").isdigit():
                nanoseconds = int(unit["CPUUsageNSec"])
                if nanoseconds < 1 << 63:
                    upkeep[f"{name} {unit.get('InvocationID', '')}"] = nanoseconds / 1e9
        carriers = {
            process.key: process.cpu
            for process in self.processes
            if (process.unit == JUPYTER or process.unit not in self.units)
            and self.is_carrier(process)
        }
        moved = self.since("cpu", groups)
        moved -= self.since("upkeep", upkeep) + self.since("carriers", carriers)
        return max(moved - sum(self.waiting.values()), 0.0)

    def disk(self) -> float:
        """Return the bytes that programs read from disks and wrote to them."""
        self._require_units()
        values = {}
        for process in self.processes:
            # Jupyter's server writes what a browser uploads, and little else.
            if process.unit == JUPYTER or not self.is_upkeep(process):
                # It may have ended in the meantime.
                with contextlib.suppress(OSError):
                    lines = (PROC / str(process.pid) / "io").read_text().splitlines()
                    fields = dict(line.split(": ", 1) for line in lines)
                    values[process.key] = float(fields["read_bytes"]) + float(fields["write_bytes"])
        return self.since("disk", values)

    def network(self) -> float:
        """Return the bytes on the network but those of SSH, Session Manager and upgrades."""
        self._require_units()
        ports = " ".join(sorted(self._ports_of_ssh()))
        known = self.before.get("table")
        moved = 0.0
        if known is not None:
            moved = self.since("network", {"bytes": self._counted()})
        if known != ports:
            self._place_rules(ports)
        self.counters["table"] = ports
        own = self.since("traffic", self._own_traffic())
        upgrades = {
            name: unit.get("InvocationID", "")
            for name, unit in self.units.items()
            if name.startswith(UPGRADES)
        }
        self.counters["upgrades"] = upgrades
        ran = any(self.units[name].get("ActiveState") in _RUNS for name in upgrades)
        if ran or upgrades != self.before.get("upgrades", upgrades):
            return 0.0
        return max(moved - own, 0.0)

    def _place_rules(self, ports: str) -> None:
        run("nft", "-f", "-", text=RULES.format(table=TABLE, ports=ports.replace(" ", ", ")))
        self.counters["network"] = {"bytes": 0.0}

    def _counted(self) -> float:
        """Return the bytes that the rules have counted.

        Raises:
            OSError: There are no rules; with the next sample there are.
        """
        output = json.loads(run("nft", "-j", "list", "counter", "inet", TABLE, "moved"))
        for each in output["nftables"]:
            if "counter" in each:
                return float(each["counter"]["bytes"])
        raise OSError("nft prints no counter")

    def _ports_of_ssh(self) -> set[str]:
        listening = run("ss", "-Htlnp")
        ports = {
            line.split()[3].rpartition(":")[2]
            for line in listening.splitlines()
            if '(("sshd"' in line
        }
        return {port for port in ports if port.isdigit()} | {"22"}

    def _own_traffic(self) -> dict[str, float]:
        """Return the bytes of connections of Session Manager and snapd."""
        values: dict[str, float] = {}
        for line in run("ss", "-HtinpO", "state", "established").splitlines():
            fields = line.split()
            if OWN_TRAFFIC.search(line):
                counted = re.findall(r"\bbytes_(?:acked|received):(\d+)", line)
                segments = re.findall(r"\bsegs_(?:out|in):(\d+)", line)
                total = sum(map(int, counted)) + HEADERS * sum(map(int, segments))
                values[" ".join(fields[2:4])] = float(total)
        return values

    def kernels(self) -> float:
        """Return the CPU seconds of notebook kernels that are busy and do not wait in input()."""
        if self.units.get(JUPYTER, {}).get("ActiveState") != "active":
            return 0.0
        token = re.sub(r"[^0-9A-Za-z]", "", (STATE / "jupyter-token").read_text(errors="replace"))
        page = "/api/kernels?no_track_activity=1"
        status, body, others = ask(JUPYTER, self.port, page, token)
        if status != 200:
            raise OSError(f"Jupyter answered {status}; port {self.port} is of {others or 'nobody'}")
        kernels = json.loads(body)
        states = {kernel["id"]: kernel["execution_state"] for kernel in kernels}
        self.busy_kernels = sorted(name for name, state in states.items() if state == "busy")
        used: dict[str, float] = {}
        busy: dict[str, float] = {}
        for name in states:
            for process in self._tree(f"kernel-{name}.json"):
                key = f"{name} {process.key}"
                used[key] = process.cpu + process.cpu_of_children
                if name in self.busy_kernels:
                    busy[key] = self.waiting.get(process.key, 0.0)
        self.counters["kernels"] = used
        before = self.before.get("kernels")
        if before is None:
            return 0.0
        return sum(max(_grown(before, used, key) - waited, 0.0) for key, waited in busy.items())

    def _tree(self, word: str) -> list[Process]:
        """Return the processes with a word in their command line, and their descendants."""
        tree = [process for process in self.processes if word in process.command]
        for process in tree:
            known = {each.pid for each in tree}
            tree += [
                child
                for child in self.processes
                if child.parent == process.pid and child.pid not in known
            ]
        return tree

    def input(self) -> float:
        """Return 1 if somebody typed: a terminal's access time changes when a program reads it."""
        paths = [path for path in TERMINALS.iterdir() if path.name.isdigit()]
        paths += TERMINALS.parent.glob("tty[1-6]")
        typed = {}
        for path in paths:
            with contextlib.suppress(OSError):
                typed[str(path)] = path.stat().st_atime
        self.counters["input"] = typed
        before = self.before.get("input", typed)
        return float(any(typed[path] > before.get(path, 0.0) for path in typed))

    def present(self) -> list[str]:
        """Return who is there, in words; what cannot be found out counts as somebody."""
        seen: list[str] = []
        for look in (self._sessions, self._tabs):
            try:
                seen += look()
            except Exception as error:
                seen.append(f"unknown ({one_line(str(error) or repr(error))})")
        workers = sum(process.name.startswith("ssm-session-wor") for process in self.processes)
        seen += _several(workers, "Session Manager session", "Session Manager sessions")
        seen += _several(len(self.busy_kernels), "busy notebook kernel", "busy notebook kernels")
        return seen

    def _sessions(self) -> list[str]:
        listed = run("loginctl", "list-sessions", "--no-legend")
        names = [line.split()[0] for line in listed.splitlines() if line.strip()]
        count = 0
        for name in names:
            # A session may end in the meantime.
            with contextlib.suppress(OSError):
                output = run("loginctl", "show-session", "-p", "Class", "-p", "State", name)
                values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
                # Programs that outlive their session leave it as closing.
                count += values["Class"].startswith("user") and values["State"] != "closing"
        # Without PAM's module of systemd, or without PAM, sshd tells logind of no login.
        count = max(count, sum(bool(LOGIN.match(each.command)) for each in self.processes))
        return _several(count, "open session", "open sessions")

    def _tabs(self) -> list[str]:
        output = run("ss", "-Htn", "state", "established", f"( sport = :{self.port} )")
        count = len(output.splitlines())
        return _several(count, "open connection to Jupyter", "open connections to Jupyter")


def scratch_gib() -> float | None:
    """Return the GiB in use on /scratch; ``None`` if no instance store is mounted there."""
    if not MOUNTED.exists():
        return None
    try:
        known = os.statvfs(SCRATCH)
    except OSError:
        return None
    return (known.f_blocks - known.f_bfree) * known.f_frsize / (1 << 30)


_RUNS = ("active", "activating", "deactivating", "reloading")


def _several(count: int, one: str, several: str) -> list[str]:
    return [f"{count} {several if count > 1 else one}"] if count else []


def _grown(before: Mapping[str, float], values: Mapping[str, float], key: str) -> float:
    """Return by how much a counter grew, also if it began again."""
    old, new = before.get(key, 0.0), values[key]
    return new - old if new >= old else new
