"""What goes on on machines whose idle stop is tested, and what it must do.

``tests/idle_rules.py`` has the rule that each of them guards.
"""

from __future__ import annotations

from tests.boot.idle_programs import (
    BURN,
    COSTLY,
    EDITOR,
    INSTALL,
    LOGIND,
    NEIGHBOUR,
    RUN,
    SCAN,
    SSH,
    UPGRADE,
    busy_disk,
    kernels,
    scan_by_ssh,
)
from tests.boot.idle_scene import A_PERSONS, LOGIN, TIMES, Scene

WINDOW, CAP = TIMES["window"], TIMES["cap"]
SCENES: dict[str, Scene] = {
    "nothing-at-full-time": Scene(A_PERSONS["window"], "nothing moved for", is_full_time=True),
    "nothing": Scene(WINDOW, "nothing moved for", outside=busy_disk),
    "training-in-tmux-after-logout": Scene(
        None,
        "of a CPU core",
        before=f"{INSTALL} tmux libpam-systemd\n{LOGIN}\nsudo -u ubuntu {SSH} "
        '"tmux new -d \\"python3 -c \\\\\\"while True: pass\\\\\\"\\""',
    ),
    "work-under-systemd-run": Scene(
        None,
        "of a CPU core",
        before=f"{RUN} {BURN}",
        times=(("window", 24), ("cap", 48), ("tick", 3)),
    ),
    "work-of-cron": Scene(
        None,
        "of a CPU core",
        before=f"{INSTALL} cron\n"
        f'echo "* * * * * ubuntu timeout 50 {BURN}" >/etc/cron.d/work\n'
        "for i in $(seq 700); do pgrep -u ubuntu timeout && exit; sleep 0.1; done; exit 1",
    ),
    "work-in-a-container": Scene(
        None,
        "of a CPU core",
        # As a container engine without systemd makes it
        before="mkdir /sys/fs/cgroup/engine\n"
        f"(echo 0 >/sys/fs/cgroup/engine/cgroup.procs; exec setsid {BURN} "
        "</dev/null >/dev/null 2>&1) &",
    ),
    "data-loader-without-gpu": Scene(
        None,
        "on disk",
        before=f"{RUN} --uid=ubuntu bash -c 'cd; while sleep 1; do "
        "head -c 20000 /dev/urandom >part; done'",
    ),
    "gpu": Scene(None, "GPU use of 40 %", before="echo 40 >/run/gpu-use"),
    "download": Scene(
        None,
        "on the network",
        before="apt-get -qq update; url=$(apt-get --print-uris download git | cut -d\\' -f2)\n"
        f'{RUN} curl -sS --limit-rate 20k -o /dev/null "$url"',
    ),
    "typing-in-a-shell": Scene(
        None,
        "typed input",
        before=f"{LOGIN}\n{RUN} --uid=ubuntu bash -c "
        f"'while sleep 5; do echo; done | {SSH} -tt bash'",
        # The open session alone would keep it awake for as long as it is observed
        times=(("cap", WINDOW),),
    ),
    "keep-awake": Scene(
        None,
        "it was asked to stay awake",
        then="sudo -u ubuntu gpustation keep-awake 1h; sudo -u ubuntu gpustation status",
    ),
    "busy-notebook": Scene(
        None,
        "of a CPU core",
        before=kernels(
            # All threads of the kernel together use little more than the 2 % of `kernels`: a first
            # sample of three ticks in the window's sum would make more the 3 % of `cpu`
            "import time\nbegun, used = time.monotonic(), time.process_time()\nwhile True:\n"
            "  share = 0.0215 * (time.monotonic() - begun)\n"
            "  while time.process_time() - used < share: pass\n"
            "  time.sleep(0.1)",
            stays=False,
        ),
        notebooks=True,
    ),
    "silent-ssh-session-unknown-to-logind": Scene(
        CAP,
        "nothing moved for",
        before=f"{LOGIN}\n{RUN} --uid=ubuntu bash -c 'sleep 10000 | {SSH} -tt bash'\n"
        "for i in $(seq 100); do pgrep -f ubuntu@pts && exit; sleep 0.1; done; exit 1",
    ),
    "silent-ssh-session": Scene(
        CAP,
        "nothing moved for",
        before=f"{LOGIND}\n{LOGIN}\n{RUN} --uid=ubuntu bash -c 'sleep 10000 | {SSH} -tt bash'\n"
        "for i in $(seq 100); do loginctl list-sessions | grep -q ubuntu && exit; sleep 0.1; done",
    ),
    "silent-console-session": Scene(
        CAP,
        "nothing moved for",
        before=f"{LOGIND}\n{RUN} -p PAMName=login -E XDG_SESSION_CLASS=user --uid=ubuntu "
        "sleep 10000\n"
        "for i in $(seq 100); do loginctl list-sessions | grep -q ubuntu && exit; sleep 0.1; done; "
        "exit 1",
    ),
    "silent-session-manager-session": Scene(
        CAP,
        "nothing moved for",
        before="cp /bin/sleep /usr/local/bin/ssm-session-worker\n"
        f"{RUN} --uid=ubuntu ssm-session-worker 10000",
    ),
    "much-on-scratch": Scene(
        CAP,
        "nothing moved for",
        before="mkdir -p /scratch /run/gpustation; mount -t tmpfs scratch /scratch\n"
        "head -c 150000000 /dev/zero >/scratch/data; touch /run/gpustation/scratch",
        settings=(("idle_stop_scratch_gib", 0.1),),
    ),
    "samples-that-cost-much": Scene(
        WINDOW,
        "nothing moved for",
        before=COSTLY,
    ),
    "gpu-that-cannot-be-sampled": Scene(
        TIMES["patience"], "nothing moved for", before="touch /run/gpu-fails"
    ),
    "gap-in-the-samples": Scene(
        # The first sample after the gap, and the window
        45 + WINDOW,
        "nothing moved for",
        then="systemctl stop gpustation-idle.timer; sleep 45\n"
        "systemctl start gpustation-idle.timer",
    ),
    "set-up-that-does-not-end": Scene(
        60 + 30,
        "nothing moved for",
        before="systemd-run -q --no-block --unit=gpustation -p Type=oneshot sleep 10000",
        times=(("window", 30), ("cap", 60)),
    ),
    "notebook-that-holds-the-gpu": Scene(
        WINDOW,
        "nothing moved for",
        before="echo 9000 >/run/gpu-memory\n"
        + kernels("import mxnet; kept = mxnet.nd.ones(9)", stays=False),
        notebooks=True,
    ),
    "tab-with-five-notebooks-that-hold-the-gpu": Scene(
        CAP,
        "nothing moved for",
        before="echo 9000 >/run/gpu-memory\n"
        + kernels(*["import mxnet; kept = mxnet.nd.ones(9)"] * 5, stays=True),
        notebooks=True,
    ),
    "kernels-stuck-in-input": Scene(
        CAP,
        "nothing moved for",
        # Together they use more than work may: a core of 2.5 GHz needs 2 % for each.
        before=kernels(
            "input()",
            "import getpass; getpass.getpass()",
            "import pdb; pdb.run('pass')",
            stays=False,
        ),
        notebooks=True,
    ),
    "editor-server": Scene(
        WINDOW,
        "nothing moved for",
        before=f"cat >/home/ubuntu/editor.py <<'EOF'\n{EDITOR}\nEOF\n"
        f"{RUN} --uid=ubuntu bash -c "
        "'exec -a /home/ubuntu/.vscode-server/node /usr/bin/python3 /home/ubuntu/editor.py'",
    ),
    "session-manager-traffic": Scene(
        WINDOW,
        "nothing moved for",
        before="apt-get -qq update; url=$(apt-get --print-uris download git | cut -d\\' -f2)\n"
        "cp /usr/bin/curl /usr/local/bin/ssm-agent-worker\n"
        f'{RUN} ssm-agent-worker -sS --limit-rate 20k -o /dev/null "$url"',
    ),
    "ssh-scan": Scene(
        WINDOW,
        "nothing moved for",
        before=f"{NEIGHBOUR}\ncat >/root/scan.py <<'EOF'\n{SCAN}\nEOF\n"
        "systemd-run -q --collect --unit=snapd-scan ip netns exec neighbour python3 /root/scan.py",
        outside=scan_by_ssh,
    ),
    "unattended-upgrade": Scene(
        WINDOW,
        "nothing moved for",
        before=f"cat >/root/upgrade <<'EOF'\n{UPGRADE}\nEOF\n"
        "folder=/run/systemd/system/apt-daily-upgrade.service.d; mkdir -p $folder\n"
        "printf '%s\\n' '[Service]' ExecStart= 'ExecStart=/bin/bash /root/upgrade' "
        ">$folder/stand-in.conf\n"
        "systemctl daemon-reload; systemctl start --no-block apt-daily-upgrade.service",
    ),
}
