"""EC2's interruption of a spot machine that boots.

Only there do systemd, its watchdog and its shutdown, terminals and a training of the person's meet
the notice. Whether EC2 gives it two minutes before, and stops a machine as the console does, is
AWS's documentation and was not seen.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localaws import LocalAws
from tests.boot.phase_machine import Machine, phase_machine
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Cdk

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
import os, pty, sys
pid, terminal = pty.fork()
if not pid:
    os.execvp("login", ["login", "-f", "ubuntu"])
while data := os.read(terminal, 1000):
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
EOF
systemd-run -q --collect -p StandardOutput=file:/root/shown python3 /root/terminal.py
"""
ROOTS_HOOK = """\
#!/bin/bash
echo "$GPUSTATION_ACTION $GPUSTATION_TIME $(id -u)" >>/root/ran
cp /run/gpustation/interruption.json /root/seen
"""


def until(condition: Callable[[], object], seconds: float = 120) -> Any:
    """Wait until a condition holds, and return what it returned."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def announce(machine: Machine, seconds: float) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    machine.facts.notice = json.dumps({"action": "stop", "time": at})


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
        machine.facts.notice = ""
        machine.reboot()
        message = until(lambda: machine.sh("cat /run/motd.d/gpustation-interruption || true"))
        assert "EC2 interrupted this spot machine at" in message
        assert "hooks failed: 10-fails exited 3, 30-hangs did not end within" in message
        assert "last time" in machine.sh(
            "python3 -I /opt/gpustation/scripts/idle status; ! ls /run/gpustation/interruption.json"
        )
        machine.sh("! ls /home/ubuntu/EC2-INTERRUPTS-*")
        machine.sh("sed -i 's/^spot=.*/spot=false/' /root/settings")
        machine.phase("interruption", "13-watch-interruption")
        assert machine.sh(f"systemctl is-active {UNIT} || true") == "inactive"
        machine.sh(f"! ls /run/motd.d/gpustation-interruption {record}")


def test_a_training_goes_on_after_an_interruption(
    cloud: LocalAws, cdk: Cdk, installed: dict[str, Any]
) -> None:
    run = cdk.deploy(**installed)
    assert run.status == 0
    station = Workstation(cloud, run.outputs["InstanceId"])
    become_spot(station)
    station.reboot()
    assert station.sh(f"systemctl is-active {UNIT}") == "active"

    station.put("/home/ubuntu/saved", "")
    hook = "#!/bin/bash\nls ~/checkpoints/resumable-mxnet >~/saved\n"
    folder = "/home/ubuntu/.config/gpustation/on-interruption.d"
    station.sh(f"sudo -u ubuntu mkdir -p {folder}")
    station.put(f"{folder}/list", hook)
    station.sh(f"chmod 755 {folder}/list")
    # Long enough to be interrupted in the middle, and without a checkpoint of its own until then
    station.sh(
        "sed -i 's/20_000/6_000/; s/default=500/default=100_000/' ~ubuntu/resumable-mxnet.py"
    )
    station.sh(f"systemctl enable --now {TRAINING}")
    journal = f"journalctl -q -o cat -u {TRAINING}"
    until(lambda: "begun, 6000 steps" in station.sh(journal))
    cloud.control.notice(station.box, "stop")
    noticed = until(
        lambda: re.search(r"saved step (\d+), loss \S+, for EC2's notice", station.sh(journal))
    )
    until(lambda: "hooks: 1 ok" in station.sh(f"journalctl -q -o cat -u {UNIT}"))
    known = len(cloud.control.history(station.box))

    # EC2 stops it, which the machine has not done, and starts it again
    before = station.boot_id()
    ec2 = cloud.client("ec2")
    ec2.stop_instances(InstanceIds=[station.box])
    ec2.get_waiter("instance_stopped").wait(
        InstanceIds=[station.box], WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    ec2.start_instances(InstanceIds=[station.box])
    station.await_boot_after(before)
    events = [event.event for event in cloud.control.history(station.box)[known:]]
    assert events == ["stopped", "started"]

    until(lambda: "finished after" in station.sh(journal))
    log = station.sh(journal)
    stopped = re.search(r"saved step (\d+), loss \S+\nstopped; it goes on", log)
    resumed = re.search(r"resumed at step (\d+) of 6000", log)
    assert stopped and resumed
    assert int(resumed[1]) == int(stopped[1]) >= int(noticed[1])
    assert "EC2 interrupted this spot machine" in station.sh(
        "cat /run/motd.d/gpustation-interruption"
    )
    assert "hooks: 1 ok" in station.sh("cat /run/motd.d/gpustation-interruption")

    # To the last bit as without an interruption
    straight = station.sh(
        "sudo -iu ubuntu python3 resumable-mxnet.py --folder /home/ubuntu/straight | tail -n 1"
    )
    assert straight in log
    # It has ended, so the next boot begins nothing
    assert station.sh(f"systemctl start {TRAINING}; {journal} -n 1") == straight


def become_spot(station: Workstation) -> None:
    """Let the machine's settings say that it is a spot machine, as the stack of one does."""
    ssm = station.aws.client("ssm")
    known = json.loads(station.sh("cat /etc/gpustation/bootstrap.json"))["settings_parameter"]
    settings = json.loads(ssm.get_parameter(Name=known)["Parameter"]["Value"])
    value = json.dumps({**settings, "spot": True})
    ssm.put_parameter(Name=known, Value=value, Overwrite=True)
