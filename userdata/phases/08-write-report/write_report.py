"""Writes the machine's report into its parameter, the only thing that the machine may write on AWS.

Usage: write_report.py PARAMETER

Once per boot, and again if the report has changed meanwhile: an update of the stack's tags makes
CloudFormation put the template's value back.

The report is one JSON object. Whoever reads it must treat it as text of others, because root on the
machine can write anything into it:

  schema            1
  instance_id       id of this instance
  host_keys         public SSH host keys, "TYPE BASE64" each
  verdict           last verdict of what watches over the machine; not used yet
  stop_reason       why the machine last stopped itself; not used yet
  keep_awake_until  end of a request not to stop, in seconds since 1970; not used yet
"""

import hashlib
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
AGENT = Path(ROOT + "/opt/gpustation/agent.py")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
INSTANCE_ID = Path(ROOT + "/var/lib/cloud/data/instance-id")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: What was written last in this boot; gone with the next one.
WRITTEN = Path(ROOT + "/run/gpustation/reported")
#: In the order in which they are kept if the report is too long.
KINDS = ("ed25519", "ecdsa", "rsa")
#: Bytes; a standard parameter holds 4,096.
LIMIT = 3500
#: Seconds for retries. By now the role has worked, as the settings were read with it.
PATIENCE = 30.0
KEY = re.compile(r"(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d{3}) [A-Za-z0-9+/]+={0,2}")


def host_keys() -> list[str]:
    """Return the public host keys, without comments."""
    keys = []
    for kind in KINDS:
        path = Path(f"{ROOT}/etc/ssh/ssh_host_{kind}_key.pub")
        key = " ".join(path.read_text().split()[:2]) if path.exists() else ""
        if KEY.fullmatch(key):
            keys.append(key)
    return keys


def compose(instance_id: str, keys: list[str]) -> str:
    """Return the report; the last keys are left out if it would be too long."""
    while True:
        report = {
            "schema": 1,
            "instance_id": instance_id,
            "host_keys": keys,
            "verdict": None,
            "stop_reason": None,
            "keep_awake_until": None,
        }
        text = json.dumps(report)
        if len(text) <= LIMIT or not keys:
            return text
        keys = keys[:-1]


def write(parameter: str, report: str) -> None:
    """Write the parameter with a signed request of the agent, which the user data has brought."""
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    assert spec and spec.loader
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    agent.DEADLINE = min(agent.DEADLINE, time.monotonic() + PATIENCE)
    region = json.loads(BOOTSTRAP.read_text())["region"]
    kind = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.PutParameter"}
    body = {"Name": parameter, "Value": report, "Overwrite": True}
    what = f"report parameter {parameter}"
    agent.aws(what, region, "ssm", "/", "", bytes, data=json.dumps(body).encode(), headers=kind)


def main() -> None:
    """Run the command line."""
    keys = host_keys()
    if not keys or not INSTANCE_ID.exists():
        print("there are no SSH host keys to report")
        return
    report = compose(INSTANCE_ID.read_text().strip(), keys)
    mark = BOOT_ID.read_text() + hashlib.sha256(report.encode()).hexdigest()
    if WRITTEN.exists() and WRITTEN.read_text() == mark:
        print("the report was written in this boot")
        return
    write(sys.argv[1], report)
    WRITTEN.parent.mkdir(parents=True, exist_ok=True)
    WRITTEN.write_text(mark)
    print(f"reported {len(keys)} SSH host keys")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(str(error) or repr(error))
