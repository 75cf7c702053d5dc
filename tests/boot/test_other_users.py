"""What users without sudo become on a machine that boots: nothing more than they are.

Only a booted machine has root's own work at boot, Jupyter's sandbox and the kernel's packet filter.
Here the notebooks' user has no sudo either, as with ``install.sh --user`` on a shared machine.
"""

from __future__ import annotations

import json

import pytest

from localaws import LocalAws
from tests.boot.conftest import launched_from
from tests.boot.installed import installed_disk
from tests.boot.notebooks import in_a_notebook
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.tier("test")

ATTACK = r"""
import json, os, pathlib, pwd, subprocess, urllib.request

home = pathlib.Path(pwd.getpwuid(os.getuid()).pw_dir)
got = {"uid": os.getuid()}

def attempt(name, action):
    try:
        got[name] = str(action())
    except Exception as error:
        got[name] = type(error).__name__

def metadata():
    url = "http://169.254.169.254/latest/"
    ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    asked = urllib.request.Request(url + "api/token", headers=ttl, method="PUT")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    token = opener.open(asked, timeout=5).read().decode()
    asked = urllib.request.Request(url + "user-data", headers={"X-aws-ec2-metadata-token": token})
    return "SIGNAL" in opener.open(asked, timeout=5).read().decode()

def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)

attempt("metadata", metadata)
attempt("sudo", lambda: subprocess.run(["sudo", "-n", "id"], check=True))
for secret in ("/etc/shadow", "/etc/gpustation/bootstrap.json"):
    attempt("read " + secret, lambda: pathlib.Path(secret).read_text())
for folder in ("/etc", "/opt/gpustation", "/opt/gpustation/env", "/var/lib/gpustation"):
    attempt("write " + folder, lambda: (pathlib.Path(folder) / "json.py").write_text("owned"))
ssh = home / ".ssh"
ssh.mkdir(mode=0o700, exist_ok=True)
keys = ssh / "authorized_keys"
keys.unlink(missing_ok=True)
keys.write_bytes(b"/home/evil.so\n\xfc\n# gpustation: set by the stack, replaced at every boot\n")
link(ssh / "authorized_keys.gpustation", "/etc/ld.so.preload")
link(home / ".config/gpustation/jupyter-token", "/etc/gpustation/bootstrap.json")
link(home / ".config/gpustation/jupyter-token.new", "/etc/ld.so.preload")
link(home / ".evil_history", "/etc/shadow")
link(home / ".gpu-starter.draft", "/etc/ld.so.preload")
link(home / "gpu-starter.ipynb", "/etc/shadow")
link(home / ".d2l-draft", "/etc")
(home / "attack.json").write_text(json.dumps(got))
"""
SQUATTER = r"""
import http.server, pathlib
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        told = self.headers.get("Authorization")
        if told:
            pathlib.Path("/home/mallory/got").write_text(told)
        self.send_response(200 if told else 403)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8888), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def station(
    cloud: LocalAws, cdk: Cdk, distribution: str, tmp_path_factory: pytest.TempPathFactory
) -> Workstation:
    run = cdk.deploy(**launched_from(cloud, installed_disk(tmp_path_factory, distribution)))
    assert run.status == 0
    station = Workstation(cloud, run.outputs["InstanceId"])
    station.sh("useradd --create-home mallory")
    station.sh("rm -f /etc/sudoers.d/90-cloud-init-users; ! sudo -u ubuntu sudo -n true")
    return station


def root_owned(station: Workstation) -> str:
    """Owner and mode of what the attacks aim at."""
    return station.sh(
        "stat -c '%n %u %a' /etc /etc/shadow /etc/gpustation/bootstrap.json /opt/gpustation "
        "/var/lib/gpustation; ls /etc/ld.so.preload 2>&1 || true"
    )


def test_a_user_and_a_notebook_without_sudo_stay_what_they_are(station: Workstation) -> None:
    before = root_owned(station)
    station.put("/home/mallory/attack.py", ATTACK, "mallory")
    station.sh("cd /home/mallory && sudo -u mallory python3 attack.py")
    in_a_notebook(station, ATTACK)
    for user in ("mallory", "ubuntu"):
        got = json.loads(station.sh(f"cat /home/{user}/attack.json"))
        assert got.pop("uid") > 0
        assert got.pop("metadata") in ("URLError", "ConnectionRefusedError"), user
        assert got.pop("sudo") == "CalledProcessError", user
        assert set(got.values()) <= {"PermissionError", "OSError"}, (user, got)
    # All that root does in homes: at every boot, for settings that changed, in another machine
    station.reboot()
    station.sh("rm /var/lib/gpustation/done/notebooks /var/lib/gpustation/done/jupyter")
    assert "the set-up is complete" in station.sh("bash /opt/gpustation/scripts/run.sh")
    station.sh("cp -a /var/lib/gpustation/settings.json /etc/gpustation/bootstrap.json /root")
    station.sh("echo i-another >/var/lib/gpustation/instance-id")
    station.sh("bash /opt/gpustation/scripts/identity/become-new-machine.sh")
    # The same machine again
    station.sh(
        "mv /root/settings.json /var/lib/gpustation; mv /root/bootstrap.json /etc/gpustation"
    )
    station.sh("systemctl enable gpustation")
    assert root_owned(station) == before
    owned = station.sh(
        "find / -xdev '(' -user ubuntu -o -user mallory ')' -not -path '/home/*' "
        "-not -path '/tmp/*' -not -path '/var/tmp/*' -not -path '/var/mail/*'"
    )
    assert sorted(owned.split()) == ["/scratch", "/var/lib/gpustation/jupyter-token"]


@pytest.mark.tier("all")
def test_who_takes_jupyters_port_gets_no_token_and_is_named(station: Workstation) -> None:
    station.sh("systemctl stop gpustation-jupyter; rm -f /var/lib/gpustation/done/jupyter-check")
    station.put("/home/mallory/squatter.py", SQUATTER, "mallory")
    station.sh(
        "systemd-run --quiet --unit=squatter --uid=mallory python3 /home/mallory/squatter.py; "
        "for i in $(seq 100); do ss -Hltn 'sport = :8888' | grep -q . && exit; sleep 0.1; done"
    )
    said = station.sh(
        "GPUSTATION_JUPYTER_SECONDS=2 bash /opt/gpustation/scripts/run.sh 2>&1 || true"
    )
    assert "port 8888 is taken by python3 (process " in said
    assert " of user mallory), so Jupyter cannot listen there" in said
    station.sh("! ls /home/mallory/got")
    station.sh("systemctl stop squatter; systemctl start gpustation-jupyter")
    assert "the set-up is complete" in station.sh("bash /opt/gpustation/scripts/run.sh")


def test_the_metadata_service_is_for_root_and_instance_connect(station: Workstation) -> None:
    asked = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/"
    station.sh("id -u ec2-instance-connect; systemctl restart gpustation-metadata")
    as_user = 'sudo -u {} sh -c "{}" || true'
    assert station.sh(asked) == "401"
    assert station.sh(as_user.format("ec2-instance-connect", asked)) == "401"
    assert station.sh(as_user.format("mallory", asked)) == "000"
    # Time, names and everything else stay open
    rules = station.sh("nft list table inet gpustation")
    assert [
        line.split("daddr ")[1].split()[0] for line in rules.splitlines() if "daddr" in line
    ] == [
        "169.254.169.254",
        "fd00:ec2::254",
    ]
    # nftables.service empties all tables, and systemd then starts ours anew, however often: ours
    # has no limit of starts (systemd's is 5 in 10 s), which would leave the address open
    for verb in ("restart", "reload", *["restart"] * 6):
        station.sh(
            f"systemctl reset-failed nftables; systemctl {verb} nftables; for i in $(seq 100); do "
            "nft list table inet gpustation >/dev/null 2>&1 && exit; sleep 0.1; done; exit 1"
        )
        assert station.sh(as_user.format("mallory", asked)) == "000"
    station.sh("systemctl is-enabled gpustation-metadata")
    before = station.sh("systemctl show -p Before --value gpustation-metadata").split()
    for unit in ("ssh.service", "ssh.socket", "gpustation-jupyter.service"):
        assert unit in before


@pytest.mark.tier("all")
def test_the_setting_opens_it_for_everybody_at_the_next_boot(station: Workstation) -> None:
    asked = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/"
    settings = "/var/lib/gpustation/settings.json"
    for before, after in (("false", "true"), ("true", "false")):
        change = f's/"role_credentials_for_users": {before}/"role_credentials_for_users": {after}/'
        station.sh(f"sed -i '{change}' {settings}; grep -q 'users\": {after}' {settings}")
        station.sh("systemctl restart gpustation-metadata")
        status = station.sh(f"sudo -u mallory {asked} || true")
        assert status == ("401" if after == "true" else "000")
        assert ("daddr" in station.sh("nft list ruleset")) == (after == "false")
