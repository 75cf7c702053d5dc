"""Writes the machine's report into its parameter, the only thing that the machine may write on AWS.

Usage: write_report.py PARAMETER [PATIENCE]

Once per boot, and again whenever the report has changed: an update of the stack's tags makes
CloudFormation put the template's value back, and run.sh reports the phases of the set-up.
PATIENCE is the number of seconds for retries, 30 by default.

The report is one JSON object. Whoever reads it must treat it as text of others, because root on the
machine can write anything into it:

  schema            1
  instance_id       id of this instance
  host_keys         public SSH host keys, "TYPE BASE64" each
  set_up            where the set-up is, see set_up()
  verdict           last verdict of the idle stop, see verdict()
  last_stop         time and reason of the last stop, if the machine stopped itself: ``at`` in
                    seconds since 1970, ``reason``
  keep_awake_until  end of a request not to stop, in seconds since 1970
  scratch_gib       size of the instance store at /scratch in GiB
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

ROOT = os.environ.get("GPUSTATION_ROOT", "")
AGENT = Path(ROOT + "/opt/gpustation/agent.py")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
INSTANCE_ID = Path(ROOT + "/var/lib/cloud/data/instance-id")
STATE = Path(ROOT + "/var/lib/gpustation")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: What was written last in this boot; gone with the next one.
WRITTEN = Path(ROOT + "/run/gpustation/reported")
#: What the idle stop wrote, see userdata/idle/tell.py and guard.sh.
VERDICT = Path(ROOT + "/run/gpustation/idle/verdict.json")
FAILING = Path(ROOT + "/run/gpustation/idle/failing")
#: Of a stop that is under way, else of the one before this boot.
LAST_STOPS = (STATE / "last-stop.json", VERDICT.parent / "last-stop.json")
SCRATCH = Path(ROOT + "/scratch")
#: Exists while the instance store is mounted there, see phase 15-mount-scratch.
MOUNTED = Path(ROOT + "/run/gpustation/scratch")
#: Held while a report is composed and written, so that the last one written is the newest.
LOCK = Path(ROOT + "/run/gpustation/report.lock")
#: In the order in which they are kept if the report is too long.
KINDS = ("ed25519", "ecdsa", "rsa")
#: Bytes; a standard parameter holds 4,096.
LIMIT = 3500
#: Characters of a warning.
WARNING = 300
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


def set_up() -> dict[str, Any] | None:
    """Return where the set-up is, by what run.sh wrote; ``None`` before its first phase.

    It has the members ``state`` (``running``, ``complete`` or ``failed``), ``phase`` (that runs or
    failed), ``since`` (of this state, in seconds since 1970), ``seconds`` by phase, and
    ``warnings`` by phase.
    """
    progress = STATE / "progress"
    noted = progress.read_text().split() if progress.exists() else []
    if len(noted) != 3:  # after a power cut it may be empty
        return None
    state, phase, since = noted
    return {
        "state": state,
        "phase": phase,
        "since": int(since),
        "seconds": {name: int(text) for name, text in _texts("seconds") if text.isdigit()},
        "warnings": {name: text[:WARNING] for name, text in _texts("warnings")},
    }


def _texts(kind: str) -> list[tuple[str, str]]:
    """Return the files of a folder of the state by name, the oldest first, each as one line."""
    folder = STATE / kind
    paths = sorted(
        folder.iterdir() if folder.exists() else (), key=lambda path: path.stat().st_mtime
    )
    return [(path.name, " ".join(path.read_text(errors="replace").split())) for path in paths]


def verdict() -> dict[str, Any] | None:
    """Return the last verdict of the idle stop; ``None`` if it is off or has not decided.

    It has the members ``state`` (``awake``, ``warned``, ``stop``, or ``failing``: there are no
    verdicts), ``reason``, ``decided_at`` and ``stops_at`` in seconds since 1970.
    """
    decided = _read_json(VERDICT)
    try:
        found = {
            "state": str(decided["state"]),
            "reason": str(decided["reason"])[:WARNING],
            "decided_at": int(decided["decided_at"]),
            "stops_at": int(decided["stops_at"]),
        }
    except (KeyError, TypeError, ValueError):
        found = None
    if FAILING.exists():
        empty = {"reason": "", "decided_at": 0, "stops_at": 0}
        return {**(found or empty), "state": "failing"}
    return found


def last_stop() -> dict[str, Any] | None:
    """Return time and reason of the last stop; ``None`` if the machine did not stop itself."""
    for path in LAST_STOPS:
        stop = _read_json(path)
        try:
            return {"at": int(stop["at"]), "reason": str(stop["reason"])[:WARNING]}
        except (KeyError, TypeError, ValueError):
            continue
    return None


def scratch_gib() -> int | None:
    """Return the size of /scratch in GiB, rounded; ``None`` if no instance store is there."""
    try:
        known = os.statvfs(SCRATCH) if MOUNTED.exists() else None
    except OSError:
        return None
    return known and round(known.f_blocks * known.f_frsize / (1 << 30))


def _read_json(path: Path) -> dict[str, Any]:
    """Return an object; empty if the file is absent or damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def compose(instance_id: str, keys: list[str]) -> str:
    """Return the report; warnings, then the last keys are left out if it would be too long."""
    progress = set_up()
    while True:
        report = {
            "schema": 1,
            "instance_id": instance_id,
            "host_keys": keys,
            "set_up": progress,
            "verdict": verdict(),
            "last_stop": last_stop(),
            "keep_awake_until": _read_json(VERDICT).get("keep_awake_until"),
            "scratch_gib": scratch_gib(),
        }
        text = json.dumps(report)
        if len(text) <= LIMIT or not keys:
            return text
        if progress and progress["warnings"]:
            progress["warnings"].popitem()
        else:
            keys = keys[:-1]


def write(parameter: str, report: str, patience: float) -> None:
    """Write the parameter with a signed request of the agent, which the user data has brought."""
    spec = importlib.util.spec_from_file_location("agent", AGENT)
    assert spec and spec.loader
    agent = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(agent)
    agent.DEADLINE = min(agent.DEADLINE, time.monotonic() + patience)
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
    patience = float(sys.argv[2]) if len(sys.argv) > 2 else PATIENCE
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = compose(INSTANCE_ID.read_text().strip(), keys)
        mark = BOOT_ID.read_text() + hashlib.sha256(report.encode()).hexdigest()
        if WRITTEN.exists() and WRITTEN.read_text() == mark:
            print("the report was written in this boot")
            return
        write(sys.argv[1], report, patience)
        WRITTEN.write_text(mark)
    print(f"reported {len(keys)} SSH host keys")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        sys.exit(str(error) or repr(error))
