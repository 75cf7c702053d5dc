"""The user data as the template renders it, on a machine with real systemd and cloud-init.

Only cloud-init and systemd show that it is run, once, as root, and again at each boot. The same
machine shows a new person's first minutes on it: login, shell, notebook, pip, reboot. Only a
machine that booted has sshd with its PAM, Session Manager's kind of user, the sandbox in which
Jupyter's kernels run, and a Python of the system's beside the environment's.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.notebooks import cells_of, execute, in_a_notebook, text_of
from tests.boot.workstation import PHASES, SUCCESS, Workstation
from tests.support.cdk_cli import Cdk, Run
from tests.support.wheels import wheel

pytestmark = pytest.mark.tier("test")

LAYER = "/home/ubuntu/.local/share/gpustation/env"
SSH = "ssh -q -o StrictHostKeyChecking=no -i /root/key ubuntu@localhost"
COMPUTES = "import mxnet; print(mxnet.nd.ones((2, 2)).sum().asscalar())"


@pytest.fixture(scope="module")
def deployed(cloud: LocalAws, cdk: Cdk) -> Run:
    run = cdk.deploy(notebooks=False)
    assert run.status == 0, cloud.control.signals()
    return run


@pytest.fixture(scope="module")
def station(cloud: LocalAws, deployed: Run) -> Workstation:
    """The machine, with a key with which its owner can log in from itself."""
    made = Workstation(cloud, deployed.outputs["InstanceId"])
    made.sh(
        "ssh-keygen -q -t ed25519 -N '' -f /root/key; "
        "sudo -u ubuntu mkdir -p -m 700 /home/ubuntu/.ssh; "
        "sudo -u ubuntu tee -a /home/ubuntu/.ssh/authorized_keys </root/key.pub >/dev/null; "
        "systemctl start ssh"
    )
    return made


def test_ready_says_what_computed_and_on_what(deployed: Run) -> None:
    assert re.match(
        r"no GPU: computed on the CPU: 1 x CPU ready: MXNet 1\.9\.1 computed on the CPU "
        r"\(system \d+ s, driver \d+ s, environment \d+ s, ",
        deployed.outputs["Ready"],
    )


def test_each_step_had_one_signal_in_order(station: Workstation) -> None:
    assert station.signals() == SUCCESS


def test_systemd_and_cloud_init_are_content(station: Workstation) -> None:
    assert station.sh("systemctl is-system-running --wait") == "running"
    assert "status: done" in station.sh("cloud-init status")
    assert station.sh("systemctl --failed --no-legend") == ""
    units = "gpustation.service gpustation-failure.service gpustation-jupyter.service"
    assert station.sh(f"systemd-analyze verify {units} 2>&1") == ""


def test_a_command_that_does_not_end_is_told_with_what_it_printed(station: Workstation) -> None:
    run = station.aws.control.machine_run
    with pytest.raises(ValueError, match=r"sleep 99 did not end within 1 s on i-\w+; .*'begun\\n'"):
        run(station.box, "bash", "-c", "echo begun; exec sleep 99", seconds=1)
    station.sh("pkill -x sleep || true")


def test_metadata_service_refuses_without_a_token(station: Workstation) -> None:
    asked = "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/meta-data/"
    assert station.sh(asked) == "401"


def test_jupyter_answers_to_its_token_alone(station: Workstation) -> None:
    assert station.jupyter(station.token()) == 200
    assert station.jupyter(None) == 403
    assert station.jupyter("0" * 48) == 403


def test_jupyter_is_the_users_on_loopback(station: Workstation) -> None:
    listening = station.sh("ss -Hltn 'sport = :8888' | awk '{print $4}'")
    assert listening == "127.0.0.1:8888"
    pid = station.sh("systemctl show -p MainPID --value gpustation-jupyter.service")
    assert station.sh(f"stat -c %U /proc/{pid}") == "ubuntu"


def test_jupyter_is_exposed_little(station: Workstation) -> None:
    shown = station.sh("systemd-analyze security --no-pager gpustation-jupyter.service | tail -n 1")
    found = re.search(r"(\d+\.\d)", shown)
    assert found is not None
    assert float(found[1]) <= 5.0


def test_a_notebook_kernel_computes(station: Workstation) -> None:
    program = "import mxnet; print(mxnet.nd.ones((2, 2)).sum().asscalar())"
    assert station.sh(f"sudo -u ubuntu /opt/gpustation/env/bin/python -c '{program}'") == "4.0"
    kernels = station.sh("/opt/gpustation/env/bin/jupyter kernelspec list --json")
    assert '"mxnet"' in kernels


def test_scratch_is_the_types_disk_also_for_programs_of_jupyter(station: Workstation) -> None:
    assert station.sh("findmnt -n -o FSTYPE /scratch") == "ext4"
    assert "114 GiB, fast; empty after every stop" in station.sh("cat /etc/motd.d/gpustation")
    pid = station.sh("systemctl show -p MainPID --value gpustation-jupyter.service")
    as_owner = "setpriv --reuid=ubuntu --regid=ubuntu --clear-groups"
    station.sh(f"nsenter --target {pid} --mount {as_owner} touch /scratch/of-a-notebook")
    assert station.sh("stat -c %U /scratch/of-a-notebook") == "ubuntu"


def test_packages_of_kernel_and_driver_are_held(station: Workstation) -> None:
    held = station.sh("apt-mark showhold").split()
    assert "libnvidia-compute-580-server" in held
    assert any(name.startswith("linux-modules-nvidia-580-server-open-") for name in held)


@pytest.mark.tier("all")
def test_second_run_by_hand_changes_nothing(station: Workstation) -> None:
    before = [station.starts(phase) for phase in PHASES[1:]]
    said = station.sh("bash /opt/gpustation/scripts/run.sh")
    assert "the set-up is complete" in said
    assert [station.starts(phase) for phase in PHASES[1:]] == before
    assert station.signals() == SUCCESS


def test_reboot_changes_nothing_and_jupyter_is_back(station: Workstation) -> None:
    token, started = station.token(), [station.starts(phase) for phase in PHASES[1:]]
    station.sh("touch /scratch/kept; sync")
    station.reboot()
    assert [station.starts(phase) for phase in PHASES[1:]] == started
    assert station.signals() == SUCCESS
    assert station.token() == token
    assert station.sh(_UNTIL_UP) == "up"
    assert "kept" in station.sh("ls /scratch")


@pytest.mark.tier("all")
def test_stop_and_start_keep_the_disk(station: Workstation) -> None:
    station.sh("echo work >/home/ubuntu/work.txt; sync")
    ec2 = station.aws.client("ec2")
    ec2.stop_instances(InstanceIds=[station.box])
    with pytest.raises(ValueError, match="does not run"):
        station.sh("true")
    ec2.start_instances(InstanceIds=[station.box])
    station.settle()
    assert station.sh("cat /home/ubuntu/work.txt") == "work"
    assert station.signals() == SUCCESS
    assert station.sh(_UNTIL_UP) == "up"


def put_wheel(station: Workstation, folder: Path, name: str) -> str:
    """A package of our own on the machine; returns its path there."""
    made = wheel(folder, name, "1.0", **{name: "ANSWER = 42\n"})
    data = base64.b64encode(made.read_bytes()).decode()
    station.sh(f"base64 -d <<<{data} >/home/ubuntu/{made.name}")
    return f"/home/ubuntu/{made.name}"


def test_a_login_says_what_there_is_and_what_it_costs(station: Workstation) -> None:
    shown = station.sh(f"echo exit | {SSH} -tt 2>&1")
    for words in (
        "gpustation: MXNet 1.9.1",
        ", g4dn.xlarge, 0.526 USD per hour (us-east-1 list price of 2026-11-20)",
        "in the environment ~/.local/share/gpustation/env",
        "pip install NAME        adds packages, which outlast a reboot",
        "gpustation-jupyter-url",
        "~/gpu-starter.ipynb",
        "sudo poweroff",
    ):
        assert words in shown
    assert "~/d2l" not in shown, "without notebooks there are none to name"
    # Each command that it names is there for the person
    station.sh(f"{SSH} 'command -v python3 pip gpustation-jupyter-url; test -e gpu-starter.ipynb'")
    assert station.sh(f"{SSH} 'python3 -c \"import sys; print(sys.prefix)\"'") == LAYER
    assert "http://localhost:8889/?token=" in station.sh(f"{SSH} gpustation-jupyter-url")
    station.sh(f"{SSH} 'sudo -n true; command -v poweroff || sudo which poweroff'")


@pytest.mark.parametrize(
    "command",
    [
        f"{SSH} 'python3 train.py'",
        f"{SSH} \"bash -lc 'python3 train.py'\"",
        pytest.param(f"{SSH} 'nohup python3 train.py 2>/dev/null'", marks=pytest.mark.tier("all")),
        pytest.param("sudo -iu ubuntu python3 train.py", marks=pytest.mark.tier("all")),
        # The session outlives the login that started it
        f"{SSH} \"tmux new-session -d 'python3 train.py >tmux.new; mv tmux.new tmux.txt'\"; "
        f"{SSH} \"timeout 300 bash -c 'until cat tmux.txt; do sleep 0.1; done' 2>/dev/null\"",
    ],
    ids=["ssh", "login", "nohup", "sudo", "tmux"],
)
def test_the_framework_computes_in_each_shell(station: Workstation, command: str) -> None:
    station.put("/home/ubuntu/train.py", COMPUTES)
    assert station.sh(command).splitlines()[-1] == "4.0"


@pytest.mark.parametrize("shell", ["zsh", pytest.param("fish", marks=pytest.mark.tier("all"))])
@pytest.mark.tier("all")
def test_another_login_shell_computes_too(station: Workstation, shell: str) -> None:
    station.put("/home/ubuntu/train.py", COMPUTES)
    station.sh(f"usermod --shell /usr/bin/{shell} ubuntu; bash /opt/gpustation/scripts/run.sh")
    try:
        assert station.sh(f"{SSH} 'python3 train.py'").splitlines()[-1] == "4.0"
        assert station.sh(f"{SSH} 'command -v pip'") == f"{LAYER}/bin/pip"
    finally:
        station.sh("usermod --shell /bin/bash ubuntu")


def test_the_starter_runs_in_jupyter(station: Workstation) -> None:
    versions, times, line = (text_of(cell) for cell in execute(station, "gpu-starter.ipynb")[1:])
    assert "MXNet 1.9.1 sees 0 GPU(s)" in versions
    assert re.fullmatch(r"cpu\(0\): [\d,]+ GFLOP/s", times)
    assert re.search(r"learned \[ *[12]\.\d+ +-3\.\d+\] 4\.\d+", line)


@pytest.mark.tier("all")
def test_a_plot_is_shown_in_the_cell_that_imports_pyplot(station: Workstation) -> None:
    (outputs,) = cells_of(station, "import matplotlib.pyplot as plt\nplt.plot([1, 2])")
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_session_managers_user_gets_the_owners_shell(station: Workstation) -> None:
    station.sh(
        "useradd --create-home ssm-user; "
        "echo 'ssm-user ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/ssm-agent-users"
    )
    script = "echo 'whoami; command -v python3; exit' | sudo -u ssm-user gpustation-shell"
    assert station.sh(script).splitlines()[-2:] == ["ubuntu", f"{LAYER}/bin/python3"]
    assert "gpustation: MXNet" in station.sh(script)


def test_roots_python_is_the_systems(station: Workstation) -> None:
    assert station.sh("sudo -i bash -c 'command -v python3'") == "/usr/bin/python3"
    assert station.sh(f"{SSH} 'sudo bash -c \"command -v python3\"'") == "/usr/bin/python3"
    assert station.sh("grep -rl gpustation /etc/profile.d /etc/environment || true") == ""
    assert station.sh("ls /usr/local/bin | grep -E '^(python|pip)' || true") == ""


@pytest.mark.tier("all")
def test_pip_in_shell_and_notebook_outlasts_a_reboot_and_harms_nothing(
    station: Workstation, tmp_path: Path
) -> None:
    one, two = (put_wheel(station, tmp_path, name) for name in ("of_the_shell", "of_a_notebook"))
    station.sh(f"{SSH} pip install -q --no-index {one}")
    magic, command = f"%pip install -q --no-index {two}", "!command -v pip python3"
    _, found = in_a_notebook(station, magic, command)
    assert found.split() == [f"{LAYER}/bin/pip", f"{LAYER}/bin/python3"]
    # What a person breaks for themselves breaks nothing of the machine's
    packages = station.sh(f"echo {LAYER}/lib/python3*/site-packages")
    for name in ("numpy", "sitecustomize", "verify"):
        hostile = f"open('/tmp/hostile-{name}', 'w'); raise SystemExit('hostile')"
        station.sh(f'sudo -u ubuntu tee {packages}/{name}.py <<<"{hostile}" >/dev/null')
    station.sh("rm -f /var/lib/gpustation/done/verify")
    assert "the set-up is complete" in station.sh("bash /opt/gpustation/scripts/run.sh")
    assert station.sh("ls /tmp/hostile-* 2>/dev/null || true") == ""
    station.sh(f"rm {packages}/{{numpy,sitecustomize,verify}}.py")
    # Who takes the lines out of a shell's file has the last word
    station.sh(
        "sudo -u ubuntu sed -i '/^# gpustation: the env/,/^# gpustation: end/d' ~ubuntu/.profile"
    )
    station.reboot()
    station.await_jupyter()
    assert station.sh(
        "grep -c gpustation ~ubuntu/.profile ~ubuntu/.bashrc || true"
    ).splitlines() == [
        "/home/ubuntu/.profile:0",
        "/home/ubuntu/.bashrc:4",
    ]
    both = "import of_the_shell, of_a_notebook; print(of_the_shell.ANSWER + of_a_notebook.ANSWER)"
    assert station.sh(f"{SSH} 'python3 -c \"{both}\"'") == "84"
    assert in_a_notebook(station, both) == ["84"]
    # Broken beyond repair: without the folder a kernel makes it anew, and so does a boot
    station.sh("sudo -u ubuntu rm -r /home/ubuntu/.local/share/gpustation")
    assert station.sh(f"{SSH} 'python3 -c \"{COMPUTES}\"'") == "4.0"
    assert in_a_notebook(station, "import sys; print(sys.prefix)") == [LAYER]


_UNTIL_UP = (
    "for i in $(seq 200); do curl -s -o /dev/null http://127.0.0.1:8888/api && "
    "{ echo up; exit; }; sleep 0.1; done"
)
