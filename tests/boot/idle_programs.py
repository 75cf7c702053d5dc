"""What runs on machines whose idle stop is tested."""

from __future__ import annotations

import os
import subprocess

from tests.boot.phase_machine import Machine

RUN = "systemd-run -q --collect"
BURN = "/usr/local/bin/work"
#: A fifth of a core, on a fast and on a busy computer: it counts what it uses.
WORK = """#!/usr/bin/env python3
import time
while True:
    until, used = time.monotonic() + 1, time.process_time() + 0.2
    while time.process_time() < used: pass
    time.sleep(max(0, until - time.monotonic()))
"""
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
    time.sleep(0.05)
"""
#: It downloads and works for as long as the machine is observed.
UPGRADE = f"""
apt-get -qq update
url=$(apt-get --print-uris download git | cut -d\\' -f2)
timeout 300 curl -sS --limit-rate 20k -o /var/cache/upgrade "$url" &
exec timeout 300 {BURN}
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
    # On a busy computer a kernel and an import take long, and are work. A cell without an end is
    # given up; the server's pings count as no timeout
    opened.settimeout(2)
    until = None
    while until is None or time.monotonic() < until:
        try:
            kind = json.loads(opened.recv())["msg_type"]
        except websocket.WebSocketTimeoutException:
            continue
        if kind == "execute_input":
            until = time.monotonic() + 20
        elif kind in ("execute_reply", "input_request"):
            break
    time.sleep(2)
    return opened
"""
#: What a tab of JupyterLab asks for again and again; more than ten times as often, as all times are
#: a tenth, and so that its server uses more than 3 % of a core on a fast computer, too. Like a
#: browser it answers the pings of the server, which else closes the connections.
POLL = """
while True:
    for path in ("kernels", "sessions", "terminals", "contents?content=1"):
        ask("GET", path)
    for each in held:
        each.settimeout(0.02)
        try:
            each.recv()
        except websocket.WebSocketTimeoutException:
            pass
    time.sleep(0.1)
"""
#: Samples cost as much as nvidia-smi with many GPUs and without persistence mode.
COSTLY = """
cat >/usr/local/bin/costs <<'EOF'
#!/usr/bin/env python3
import time
while time.process_time() < 0.3: pass
EOF
chmod 755 /usr/local/bin/costs
sed -i '2i /usr/local/bin/costs' /usr/local/bin/nvidia-smi
"""
#: A tenth of a core, as an extension host in a project with many files.
EDITOR = """
import time
while True:
    used = time.process_time() + 0.05
    while time.process_time() < used: pass
    time.sleep(0.45)
"""


def kernels(*cells: str, stays: bool) -> str:
    """Script that runs each cell in a kernel of its own, and perhaps keeps a tab open."""
    program = KERNEL + f"held = [kernel(code) for code in {cells!r}]\n"
    program += "open('/home/ubuntu/.done', 'w').close()\n"
    program += POLL if stays else "[each.close() for each in held]\n"
    # A program in a unit of upkeep: the browser would not run on this machine.
    return (
        "cp /var/lib/gpustation/jupyter-token /home/ubuntu/.token; chmod 644 /home/ubuntu/.token\n"
        f"cat >/home/ubuntu/browser.py <<'EOF'\n{program}\nEOF\n"
        "systemd-run -q --collect --unit=snapd-browser --uid=ubuntu "
        "/opt/gpustation/env/bin/python /home/ubuntu/browser.py\n"
        "for i in $(seq 2500); do [ -e /home/ubuntu/.done ] && exit; sleep 0.1; done\n"
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
