"""The rules of docs/idle-stop.md, the scenes that guard them, and how to take them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.boot.idle_scenes import SCENES

COLLECT, DECIDE = "idle/collect.py", "idle/decide.py"
STOPS, STAYS = "nothing", "gpu"
"""Scenes that must still succeed: beside rules that keep a machine awake, and beside all others."""
IDLE, CPU, NETWORK = "nothing moved for", "of a CPU core", "on the network"


class CutError(Exception):
    """A rule that is not where it was; the message says which text is missing."""


@dataclass(frozen=True)
class Cut:
    """A text of a file that is replaced."""

    path: str
    old: str
    new: str = ""

    def apply(self, userdata: Path) -> None:
        """Make it in a copy of ``userdata/``.

        Raises:
            CutError: The text is not there exactly once.
        """
        file = userdata / self.path
        text = file.read_text()
        if (count := text.count(self.old)) != 1:
            raise CutError(f"{self.path} must have this text once, got {count}: {self.old!r}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True)
class Rule:
    """A rule of docs/idle-stop.md.

    Attributes:
        says: What it says.
        without: What is taken out.
        scenes: Those that fail without it.
        reason: What the machine then gives as the reason of what it did wrong, in part.
        cuts: How it is taken out.
        stays: The scene of a machine that must stay awake beside it, if it is one that stops.
    """

    says: str
    without: str
    scenes: tuple[str, ...]
    reason: str
    cuts: tuple[Cut, ...]
    stays: str = STAYS

    def apply(self, userdata: Path) -> None:
        """Take it out of a copy of ``userdata/``."""
        for cut in self.cuts:
            cut.apply(userdata)

    @property
    def beside(self) -> str:
        """The scene that must still succeed."""
        return self.stays if all(SCENES[name].stops is not None for name in self.scenes) else STOPS


RULES = (
    Rule(
        "a GPU above 5 % counts",
        "the signal `gpu`",
        ("gpu",),
        IDLE,
        (Cut(DECIDE, '"gpu": 5.0,', '"gpu": 500.0,'),),
    ),
    Rule(
        "3 % of a CPU core counts",
        "the signal `cpu`",
        ("work-under-systemd-run",),
        IDLE,
        (Cut(DECIDE, '"cpu": 0.03,', '"cpu": 30.0,'),),
    ),
    Rule(
        "work of a person counts, also after the logout",
        "`user.slice`",
        ("training-in-tmux-after-logout",),
        IDLE,
        (
            Cut(
                COLLECT,
                '("init.scope", OWN_SLICE)',
                '("init.scope", OWN_SLICE, "user.slice")',
            ),
        ),
    ),
    Rule(
        "work of any unit counts that is not upkeep",
        "`cron.service`",
        ("work-of-cron",),
        IDLE,
        (Cut(COLLECT, "apt-*.service unattended", "cron.service apt-*.service unattended"),),
    ),
    Rule(
        "work in a container counts",
        "control groups that are not systemd's",
        ("work-in-a-container",),
        IDLE,
        (
            Cut(
                COLLECT,
                "if path.is_dir() and path.name not in OWN_GROUPS and",
                'if path.name in ("user.slice", "system.slice") and',
            ),
        ),
    ),
    Rule(
        "100 KB per minute on disk count",
        "the signal `disk`",
        ("data-loader-without-gpu",),
        IDLE,
        (Cut(DECIDE, '"disk": 100_000 / 60,', '"disk": 1e12,'),),
    ),
    Rule(
        "100 KB per minute on the network count",
        "the signal `network`",
        ("download",),
        IDLE,
        (Cut(DECIDE, '"network": 100_000 / 60,', '"network": 1e12,'),),
    ),
    Rule(
        "a busy kernel counts from 2 % of a core",
        "the signal `kernels`",
        ("busy-notebook",),
        IDLE,
        (Cut(DECIDE, '"kernels": 0.02,', '"kernels": 30.0,'),),
    ),
    Rule(
        "typing counts",
        "the signal `input`",
        ("typing-in-a-shell",),
        IDLE,
        (Cut(DECIDE, '"input": 0.0,', '"input": 2.0,'),),
    ),
    Rule(
        "a request keeps the machine awake",
        "requests",
        ("keep-awake",),
        IDLE,
        (Cut(DECIDE, "    if keep_awake_until:\n", "    if False:\n"),),
    ),
    Rule(
        "an open SSH session holds until the cap",
        "sessions",
        ("silent-ssh-session",),
        IDLE,
        (Cut(COLLECT, "for look in (self._sessions, self._tabs):", "for look in (self._tabs,):"),),
    ),
    Rule(
        "also one of which logind knows nothing",
        "sshd's processes",
        ("silent-ssh-session-unknown-to-logind",),
        IDLE,
        (Cut(COLLECT, "bool(LOGIN.match(each.command))", "False"),),
    ),
    Rule(
        "any other session holds until the cap",
        "logind's sessions",
        ("silent-console-session",),
        IDLE,
        (Cut(COLLECT, 'values["Class"].startswith("user")', "False"),),
    ),
    Rule(
        "a session of Session Manager holds until the cap",
        "its processes",
        ("silent-session-manager-session",),
        IDLE,
        (Cut(COLLECT, 'startswith("ssm-session-wor")', 'startswith("?")'),),
    ),
    Rule(
        "a tab holds until the cap",
        "connections to Jupyter",
        ("tab-with-five-notebooks-that-hold-the-gpu",),
        IDLE,
        (
            Cut(
                COLLECT,
                "for look in (self._sessions, self._tabs):",
                "for look in (self._sessions,):",
            ),
        ),
    ),
    Rule(
        "a busy kernel that computes nothing holds until the cap",
        "busy kernels",
        ("kernels-stuck-in-input",),
        IDLE,
        (Cut(COLLECT, "_several(len(self.busy_kernels),", "_several(0,"),),
    ),
    Rule(
        "who is there holds no longer than the cap",
        "the cap",
        (
            "silent-ssh-session",
            "tab-with-five-notebooks-that-hold-the-gpu",
            "kernels-stuck-in-input",
        ),
        "open, but nothing moves",
        (Cut(DECIDE, "Hold(quiet_since + need, reason)", "Hold(now + need, reason)"),),
    ),
    Rule(
        "the wait of `input()` is no work",
        "what tells it from work",
        ("kernels-stuck-in-input",),
        CPU,
        (Cut(COLLECT, "if is_cheap and", "if False and"),),
    ),
    Rule(
        "holding a GPU's memory is not work",
        "the use of the GPU, for its memory",
        ("notebook-that-holds-the-gpu", "tab-with-five-notebooks-that-hold-the-gpu"),
        "GPU use of 9000 %",
        (Cut(COLLECT, "--query-gpu=utilization.gpu", "--query-gpu=memory.used"),),
        stays="keep-awake",  # without this rule nobody samples what keeps the other one awake
    ),
    Rule(
        "Jupyter's own server does not count",
        "the server among what only carries a connection",
        ("tab-with-five-notebooks-that-hold-the-gpu",),
        CPU,
        (Cut(COLLECT, "str(process.pid) == server or bool(", "bool("),),
    ),
    Rule(
        "editor servers do not count",
        "them among what only carries a connection",
        ("editor-server",),
        CPU,
        (Cut(COLLECT, '    r"|/\\.(vscode|', '    r"|/\\.(none|'),),
    ),
    Rule(
        "traffic of Session Manager does not count",
        "its traffic",
        ("session-manager-traffic",),
        NETWORK,
        (Cut(COLLECT, "max(moved - own, 0.0)", "moved"),),
    ),
    Rule(
        "login attempts do not count as traffic",
        "the port of SSH",
        ("ssh-scan",),
        NETWORK,
        (
            Cut(COLLECT, "    tcp dport {{ {ports} }} accept\n"),
            Cut(COLLECT, "    tcp sport {{ {ports} }} accept\n"),
        ),
    ),
    Rule(
        "nor as work",
        "sshd among the upkeep",
        ("ssh-scan",),
        CPU,
        (
            Cut(COLLECT, "ssh.service ssh@*.service sshd.service sshd@*.service\n"),
            Cut(COLLECT, 'r"^(sshd(-session|-auth)?:|/usr/sbin/sshd|', 'r"^('),
        ),
    ),
    Rule(
        "downloads of upgrades do not count",
        "that of apt's units",
        ("unattended-upgrade",),
        NETWORK,
        (Cut(COLLECT, 'UPGRADES = ("apt-daily",)', 'UPGRADES = ("none",)'),),
    ),
    Rule(
        "upgrades are no work",
        "apt's units among the upkeep",
        ("unattended-upgrade",),
        CPU,
        (
            Cut(COLLECT, "apt-*.service unattended", "unattended"),
            Cut(COLLECT, "ran = any(", "return 0.0\n        ran = any("),
        ),
    ),
    Rule(
        "the host's disk does not count",
        "programs, for `/proc/diskstats`",
        ("nothing",),
        "on disk",
        (
            Cut(
                COLLECT,
                'return self.since("disk", values)',
                'return self.since("disk", {"all": sum(512.0 * float(line.split()[9]) '
                'for line in (PROC / "diskstats").read_text().splitlines())})',
            ),
        ),
    ),
    Rule(
        "the idle stop itself does not count",
        "`gpustation.slice` among its own",
        ("samples-that-cost-much",),
        CPU,
        (Cut(COLLECT, '("init.scope", OWN_SLICE)', '("init.scope",)'),),
    ),
    Rule(
        "much on `/scratch` holds until the cap",
        "`idle_stop_scratch_gib`",
        ("much-on-scratch",),
        IDLE,
        (Cut(DECIDE, "    if policy.scratch_gib and", "    if False and"),),
    ),
    Rule(
        "what cannot be sampled counts as moving",
        "what is unknown",
        ("gpu-that-cannot-be-sampled",),
        IDLE,
        (
            Cut(
                DECIDE,
                "busy = [*movement, *_set_up(samples, policy, need), *unknown]",
                "busy = [*movement, *_set_up(samples, policy, need)]",
            ),
        ),
    ),
    Rule(
        "but for 2 hours at most",
        "the patience",
        ("gpu-that-cannot-be-sampled",),
        "unknown, and so counted as moving: gpu",
        (Cut(DECIDE, "min(last + need, first + policy.patience)", "last + need"),),
    ),
    Rule(
        "a gap in the samples counts as unknown",
        "gaps",
        ("gap-in-the-samples",),
        IDLE,
        (Cut(DECIDE, "GAP_TICKS = 3", "GAP_TICKS = 300"),),
    ),
    Rule(
        "the set-up counts",
        "the set-up",
        ("set-up-that-does-not-end",),
        IDLE,
        (
            Cut(
                DECIDE,
                "busy = [*movement, *_set_up(samples, policy, need), *unknown]",
                "busy = [*movement, *unknown]",
            ),
        ),
    ),
    Rule(
        "but for 2 hours at most",
        "the cap of the set-up",
        ("set-up-that-does-not-end",),
        "the set-up of this boot",
        (Cut(DECIDE, "min(times[-1], times[0] + policy.cap) + need", "times[-1] + need"),),
    ),
    Rule(
        "the first window after a boot never stops",
        "the first window",
        ("nothing",),
        IDLE,
        (Cut(DECIDE, "Hold(samples[0].at + policy.window,", "Hold(samples[0].at,"),),
    ),
    Rule(
        "nothing stops without the warning",
        "the warning",
        ("nothing",),
        IDLE,
        (
            Cut(
                DECIDE,
                "stops_at = max(last.until, announced + policy.lead)",
                "stops_at = last.until",
            ),
            Cut(DECIDE, "if now >= stops_at and warned_at is not None:", "if now >= stops_at:"),
            Cut(DECIDE, "elif now >= last.until - policy.lead:", "elif False:"),
        ),
    ),
)


def table() -> str:
    """The rules as the table of docs/testing.md."""
    rows = ["| rule | scenes | without |", "|---|---|---|"]
    rows += [
        f"| {rule.says} | {', '.join(f'`{name}`' for name in rule.scenes)} | {rule.without} |"
        for rule in RULES
    ]
    return "\n".join(rows) + "\n"
