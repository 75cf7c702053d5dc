"""The idle stop on machines that boot: who keeps a machine awake, and who does not.

Only a booted machine has the cgroups, terminals, sessions, connections and kernels that are
sampled. All times are a tenth, but for one test. Machines of several tests run side by side,
because they mostly wait.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.boot.idle_scene import LATE, LOGIN, TIMES, Outcome, Scene, play
from tests.boot.installed import installed_disk
from tests.boot.phase_machine import Machine

pytestmark = pytest.mark.tier("test")

SIDE_BY_SIDE = 5
WINDOW, CAP = TIMES["window"], TIMES["cap"]
RUN = "systemd-run -q --collect"
#: A fifth of a core.
BURN = "sh -c 'while sleep 0.2; do head -c 20000000 /dev/zero | cksum; done'"
INSTALL = "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qqy install"
#: What Ubuntu's images have, and the test roots do not: sshd then tells logind of a login.
LOGIND = f"{INSTALL} libpam-systemd"
SSH = "ssh ubuntu@localhost"
#: From another network, as what comes over the loopback is not the network's.
NEIGHBOUR = """
ip netns add neighbour
ip link add near type veth peer name far netns neighbour
ip address add 10.9.0.1/24 dev near; ip link set near up
ip -n neighbour address add 10.9.0.2/24 dev far; ip -n neighbour link set far up
"""
SCAN = """
import socket, time
while True:
    with socket.create_connection(("10.9.0.1", 22)) as made:
        made.recv(100)
        made.sendall(b"SSH-2.0-scan\\r\\n" + bytes(2000))
        try:
            made.recv(4000)
        except OSError:
            pass
    time.sleep(0.2)
"""
UPGRADE = """
apt-get -qq update
url=$(apt-get --print-uris download git | cut -d\\' -f2)
timeout 40 curl -sS --limit-rate 50k -o /var/cache/upgrade "$url"
timeout 10 sh -c 'while :; do :; done'
"""
KERNEL = """
import json, subprocess, sys, time, urllib.request
import jupyter_client, websocket
token = open("/home/ubuntu/.token").read().strip()
def ask(method, path, body=None):
    request = urllib.request.Request(
        "http://127.0.0.1:8888/api/" + path, json.dumps(body).encode() if body else None,
        {"Authorization": "token " + token}, method=method)
    return json.loads(urllib.request.urlopen(request, timeout=60).read())
def kernel(code):
    made = ask("POST", "kernels", {"name": "mxnet"})["id"]
    address = f"ws://127.0.0.1:8888/api/kernels/{made}/channels"
    header = [f"Authorization: token {token}"]
    opened = websocket.create_connection(address, header=header, timeout=60)
    header = {"msg_id": made, "msg_type": "execute_request", "session": made, "username": "",
              "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True}
    opened.send(json.dumps({"channel": "shell", "header": header, "content": content,
                            "parent_header": {}, "metadata": {}}))
    time.sleep(8)
    return opened
"""


def kernels(*cells: str, stays: bool) -> str:
    """Script that runs each cell in a kernel of its own, and perhaps keeps the browser open."""
    program = KERNEL + f"held = [kernel(code) for code in {cells!r}]\n"
    program += "open('/home/ubuntu/.done', 'w').close()\n"
    program += "time.sleep(10000)\n" if stays else "[each.close() for each in held]\n"
    # A program in a unit of upkeep: the browser would not run on this machine.
    return (
        "cp /var/lib/gpustation/jupyter-token /home/ubuntu/.token; chmod 644 /home/ubuntu/.token\n"
        f"cat >/home/ubuntu/browser.py <<'EOF'\n{program}\nEOF\n"
        "systemd-run -q --collect --unit=snapd-browser --uid=ubuntu "
        "/opt/gpustation/env/bin/python /home/ubuntu/browser.py\n"
        "for i in $(seq 900); do [ -e /home/ubuntu/.done ] && exit; sleep 0.1; done\n"
        "journalctl -u snapd-browser; exit 1"
    )


def scan_by_ssh(machine: Machine) -> None:
    """A few handshakes from this computer, whose keys are exchanged before they are refused."""
    port = machine.lead_in(22)
    options = ["-oBatchMode=yes", "-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"]
    subprocess.run(
        ["ssh", *options, "-p", str(port), "root@127.0.0.1", "true"],
        capture_output=True,
        timeout=20,
        check=False,
    )


def busy_disk(machine: Machine) -> None:
    """Bytes on this computer's disk, which is the machine's too."""
    path = machine.root.parent / "busy"
    with path.open("wb") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())


SCENES = {
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
            "import time\nwhile True:\n  end = time.time() + 0.023\n"
            "  while time.time() < end: pass\n  time.sleep(0.97)",
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
    "tab-with-five-notebooks-that-hold-the-gpu": Scene(
        CAP,
        "nothing moved for",
        before=kernels(*["import mxnet; kept = mxnet.nd.ones(9)"] * 5, stays=True),
        notebooks=True,
    ),
    "kernel-stuck-in-input": Scene(
        CAP,
        "nothing moved for",
        before=kernels("input()", stays=False),
        notebooks=True,
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
        "printf '%s\\n' '[Service]' Nice=19 ExecStart= 'ExecStart=/bin/bash /root/upgrade' "
        ">$folder/stand-in.conf\n"
        "systemctl daemon-reload; systemctl start --no-block apt-daily-upgrade.service",
    ),
}
IN_TEST = ("work-under-systemd-run",)
"""The one that stops is in test_reaching_a_machine."""


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """What comes of each scene that a test of this run asks for."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "name" in getattr(item, "callspec", item).params
    }
    disk = None
    if any(SCENES[name].notebooks for name in asked):
        disk = installed_disk(tmp_path_factory, distribution)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            name: pool.submit(
                play,
                scene,
                distribution,
                tmp_path_factory.mktemp(name),
                disk if scene.notebooks else None,
            )
            for name, scene in SCENES.items()
            if name in asked
        }


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in IN_TEST else [pytest.mark.tier("all")])
        for name in SCENES
    ],
)
def test_who_keeps_a_machine_awake(name: str, outcomes: dict[str, Future[Outcome]]) -> None:
    scene, outcome = SCENES[name], outcomes[name].result()

    print(outcome.journal)
    assert scene.because in outcome.reason
    if scene.stops is None:
        assert outcome.stopped is None
    else:
        assert outcome.stopped is not None
        assert scene.stops - 1 <= outcome.stopped <= scene.stops + LATE
