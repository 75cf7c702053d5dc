"""EC2's interruption of a spot machine that boots.

Only there do systemd, its watchdog and its shutdown, terminals and a training of the person's meet
the notice. Whether EC2 gives it two minutes before, and stops a machine as the console does, is
AWS's documentation and was not seen.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.boot.phase_machine import Machine, phase_machine
from tests.boot.training import STEPS, logged, slow_down, straight, until
from tests.boot.workstation import Workstation
from tests.support.assembly import assemble
from tests.support.cdk_cli import STACK
from tests.support.probe_stack import Stack

G_SPOT = "L-3819A6DF"
UNIT = "gpustation-interruption.service"
TRAINING = "gpustation-training@resumable-mxnet"
PREPARE = """
cp -r /root/userdata /opt/gpustation/scripts-spot; ln -s scripts-spot /opt/gpustation/scripts
mkdir -p /etc/gpustation; printf '{}' >/etc/gpustation/bootstrap.json
printf '{"spot": true}' >/var/lib/gpustation/settings.json
sed -i 's/^spot=.*/spot=true/' /root/settings
"""
#: Somebody who is logged in at a terminal, and what it shows. Not by SSH: Debian 13 has no utmp any
#: more, and its logind does not know the terminals of SSH's sessions, so wall does not find them.
LOGGED_IN = """
apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qqy install libpam-systemd login
cat >/root/terminal.py <<'EOF'
import os, pty, sys, time
pid, terminal = pty.fork()
if not pid:
    os.execvp("login", ["login", "-f", "ubuntu"])
while os.waitpid(pid, os.WNOHANG) == (0, 0):
    try:
        sys.stdout.buffer.write(os.read(terminal, 1000))
    except OSError:  # login hangs up the terminal before it opens it again
        time.sleep(0.1)
    sys.stdout.flush()
EOF
systemd-run -q --collect -p StandardOutput=file:/root/shown python3 /root/terminal.py
"""
ROOTS_HOOK = """\
#!/bin/bash
echo "$GPUSTATION_ACTION $GPUSTATION_TIME $(id -u)" >>/root/ran
cp /run/gpustation/interruption.json /root/seen
"""


def announce(machine: Machine, seconds: float) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    machine.facts.interruption = ("stop", at)


def test_the_service_on_a_machine(distribution: str, tmp_path: Path) -> None:
    with phase_machine(distribution, tmp_path, name="i-spot") as machine:
        machine.sh(PREPARE)
        machine.phase("interruption", "13-watch-interruption")
        shown = f"systemctl show --value -p MainPID -p NRestarts -p ControlGroup {UNIT}"
        assert "/gpustation.slice/" in machine.sh(shown)

        # A watch that hangs is started again
        machine.sh(
            f"mkdir -p /run/systemd/system/{UNIT}.d\n"
            f"printf '[Service]\\nWatchdogSec=8\\n' >/run/systemd/system/{UNIT}.d/soon.conf\n"
            f"systemctl daemon-reload; systemctl restart {UNIT}; sleep 6\n"
            f"systemctl kill --kill-whom=main -s STOP {UNIT}"
        )
        until(lambda: machine.sh(f"systemctl show --value -p NRestarts {UNIT}") != "0")
        until(lambda: machine.sh(f"systemctl is-active {UNIT} || true") == "active")

        machine.sh(LOGGED_IN)
        until(lambda: "$" in machine.sh("cat /root/shown || true"))
        machine.sh(
            "cd /etc/gpustation/on-interruption.d\n"
            f"cat >20-save <<'EOF'\n{ROOTS_HOOK}EOF\n"
            "printf '#!/bin/sh\\necho broken; exit 3\\n' >10-fails\n"
            # In a session of its own, where no signal to a process group reaches it
            "printf '#!/bin/sh\\nsetsid sleep 1000 &\\nexec sleep 1001\\n' >30-hangs\n"
            "chmod 755 *; printf '#!/bin/sh\\ntouch /root/wrong\\n' >40-plain\n"
            "sudo -u ubuntu mkdir -p /home/ubuntu/.config/gpustation/on-interruption.d\n"
            "cd /home/ubuntu/.config/gpustation/on-interruption.d\n"
            "printf '#!/bin/sh\\nid >~/ran; sudo -n id -u >>~/ran\\n' | sudo -u ubuntu tee save\n"
            "chmod 755 save"
        )
        announce(machine, 40)
        record = "/var/lib/gpustation/interruption.json"
        until(lambda: '"hooks": {' in machine.sh(f"cat {record} 2>/dev/null || true"))

        results = json.loads(machine.sh(f"cat {record}"))["hooks"]
        assert re.fullmatch(r"did not end within \d+ s", results.pop("30-hangs"))
        assert results == {
            "10-fails": "exited 3",
            "20-save": "ok",
            "40-plain": "is not run: it is not executable",
            "the person's hooks": "ok",
        }
        assert re.fullmatch(r"stop \S+Z 0", machine.sh("cat /root/ran"))
        assert json.loads(machine.sh("cat /root/seen"))["action"] == "stop"
        assert "uid=1000(ubuntu)" in machine.sh("head -1 /home/ubuntu/ran")
        assert machine.sh("tail -1 /home/ubuntu/ran") == "0", "the person may use sudo there, too"
        machine.sh("! ls /root/wrong; ! pgrep -fx 'sleep 1001'")
        assert "EC2 STOPS THIS SPOT MACHINE AT" in machine.sh("cat /root/shown")
        machine.sh("ls /home/ubuntu/EC2-INTERRUPTS-THIS-MACHINE-AT-*-UTC.txt")
        assert "EC2 STOPS" in machine.sh("cat /run/motd.d/gpustation-interruption")
        assert machine.sh("sudo -u ubuntu cat /run/gpustation/interruption.json")
        journal = machine.sh(f"journalctl -q -o cat -u {UNIT}")
        for line in ("10-fails: broken", "the person's hooks: save: ok", "20-save: ok"):
            assert line in journal

        # A restart runs nothing again, and the machine has not powered itself off
        machine.sh(f"systemctl restart {UNIT}")
        until(lambda: "the hooks of this notice have run" in machine.sh(f"journalctl -qu {UNIT}"))
        assert len(machine.sh("cat /root/ran").splitlines()) == 1
        assert machine.runs

        # What EC2 does then
        machine.facts.interruption = None
        machine.reboot()
        until(lambda: machine.sh("cat /run/motd.d/gpustation-interruption || true"))
        message = machine.sh("cat /run/motd.d/gpustation-interruption")
        assert "EC2 interrupted this spot machine at" in message
        failed = (
            "hooks failed: 40-plain is not run: it is not executable, 10-fails exited 3, 30-hangs"
        )
        assert f"{failed} did not end within" in message
        assert "last time" in machine.sh(
            "python3 -I /opt/gpustation/scripts/idle status; ! ls /run/gpustation/interruption.json"
        )
        machine.sh("! ls /home/ubuntu/EC2-INTERRUPTS-*")
        machine.sh("sed -i 's/^spot=.*/spot=false/' /root/settings")
        machine.phase("interruption", "13-watch-interruption")
        assert machine.sh(f"systemctl is-active {UNIT} || true") == "inactive"
        machine.sh(f"! ls /run/motd.d/gpustation-interruption {record}")


@pytest.fixture
def station(cloud: LocalAws, installed: dict[str, Any]) -> Workstation:
    """A spot machine of a stack, with a finished set-up."""
    cloud.control.set_quota(G_SPOT, 8)
    assembly = assemble(**installed, spot=True)
    assembly.publish(cloud)
    stack = Stack(cloud, STACK)
    status = stack.deploy("create_stack", assembly.template)
    assert status == "CREATE_COMPLETE", stack.events()
    return Workstation(cloud, stack.outputs()["InstanceId"])


def request_of(station: Workstation) -> tuple[str, str]:
    """State and status of the machine's spot request."""
    ec2 = station.aws.client("ec2")
    (row,) = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    return row["State"], row["Status"]["Code"]


def test_a_training_goes_on_after_an_interruption(station: Workstation) -> None:
    """From the notice over EC2's stop and start to the training's end, as without all that."""
    control = station.aws.control
    assert station.sh(f"systemctl is-active {UNIT}") == "active"
    folder = "/home/ubuntu/.config/gpustation/on-interruption.d"
    station.sh(f"sudo -u ubuntu mkdir -p {folder}")
    station.put(f"{folder}/list", "#!/bin/bash\nls ~/checkpoints/resumable-mxnet >~/listed\n")
    station.sh(f"chmod 755 {folder}/list")
    # Without a checkpoint of its own before the notice
    slow_down(station, "mxnet", every=10**9)
    station.sh(f"systemctl enable --now {TRAINING}")
    logged(station, TRAINING, f"begun, {STEPS} steps")
    before = station.boot_id()
    control.interrupt(station.box, 25)
    log = logged(station, TRAINING, "for EC2's notice")
    logged(station, UNIT, "hooks: 1 ok")
    assert "finished" not in log
    # EC2 stops it, not the machine itself, which EC2 would not start again
    until(lambda: request_of(station) == ("disabled", "instance-stopped-no-capacity"))
    until(lambda: control.history(station.box)[-1].event == "stopped")
    control.resume_spot(station.box)
    station.await_boot_after(before)

    message = station.sh("cat /run/motd.d/gpustation-interruption")
    assert "EC2 interrupted this spot machine at" in message
    assert message.endswith("; hooks: 1 ok")
    log = logged(station, TRAINING, "finished after")
    noticed = re.search(r"saved step (\d+), loss \S+, for EC2's notice", log)
    stopped = re.search(r"saved step (\d+), loss \S+\nstopped; it goes on", log)
    resumed = re.search(rf"resumed at step (\d+) of {STEPS}", log)
    assert noticed and stopped and resumed
    assert int(resumed[1]) == int(stopped[1]) > int(noticed[1]) > 0

    # To the last bit as without an interruption
    ended = straight(station, "mxnet")
    assert ended in log.splitlines()
    # It has ended, so the next start of the machine begins nothing
    station.sh(f"systemctl start {TRAINING}")
    logged(station, TRAINING, f"resumed at step {STEPS} of {STEPS}")
    until(lambda: logged(station, TRAINING, ended).count(ended) == 2)
