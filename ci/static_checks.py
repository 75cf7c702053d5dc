"""What only a machine's own tools can check of our files, without booting it: ``make check``.

The template's user data runs in a machine's root, as far as it lays files down; systemd's own
verifier then reads every unit, and cloud-init's own code the user data: it must take it for the
boothook that it is (its schema covers cloud-config alone).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gpustation.synth.user_data import render_user_data
from localaws.machines.booted.root import machine_root
from localaws.machines.booted.support import disk_folder, why_not

USERDATA = Path(__file__).resolve().parents[1] / "userdata"
ADDRESS = "https://localhost/signal"
VARIABLES = {
    "REGION": "us-east-1",
    "SETTINGS_PARAMETER": "settings",
    **{f"SIGNAL_{step}": ADDRESS for step in ("DRIVER", "ENVIRONMENT", "GPU")},
}
ENTER = """
set -euo pipefail
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay checks -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
cp -a "$2/files" "$2/root/root/files"
exec chroot "$2/root" bash /root/files/inside.sh
"""
INSIDE = """
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SYSTEMD_LOG_LEVEL=warning
cd /root/files
SYSTEMD_OFFLINE=1 bash user-data >bootstrap.log 2>&1 || { cat bootstrap.log; exit 1; }
units=/etc/systemd/system
mkdir -p /opt/gpustation/scripts /opt/gpustation/env/bin check
cp userdata/phases/*/gpustation-{identity,metadata}.service "$units"
touch /opt/gpustation/scripts/run.sh /opt/gpustation/env/bin/jupyter
chmod +x /opt/gpustation/env/bin/jupyter
useradd --create-home ubuntu
blanks='s|@OPT@|/opt/gpustation|g;s|@HOME@|/home/ubuntu|g;s|@USER@|ubuntu|g;s|@FRAMEWORK@|mxnet|g;s|@PORT@|8888|g;s|@STATE@|/var/lib/gpustation|g;s|@ROOT@||g;s|@TARGET@|cloud-init.target|g'
for unit in gpustation-{jupyter,interruption,training@}.service; do
  sed "$blanks" userdata/phases/*/"$unit" >"$units/$unit"
done
python=/home/ubuntu/.local/share/gpustation/env/bin/python
mkdir -p "${python%/*}"
ln -s /usr/bin/python3 "$python"
# install.sh's unit has the name of the bootstrap's, and takes its place
sed "$blanks" userdata/install/gpustation.service >check/gpustation.service
said=$(systemd-analyze verify --man=no gpustation.service gpustation-failure.service \
  gpustation-{jupyter,identity,metadata,interruption,training@x}.service \
  ./check/gpustation.service 2>&1) ||
  { echo "$said"; exit 1; }
if [[ -n $said ]]; then
  echo "$said"
  exit 1
fi
python3 - <<'END'
from cloudinit.handlers import type_from_starts_with
kind = type_from_starts_with(open("user-data").read())
assert kind == "text/cloud-boothook", f"cloud-init takes the user data for {kind}"
END
"""


def main() -> int:
    """Runs the checks; exit status 0 if nothing was found, or no machine root can be made here."""
    reason = why_not()
    if reason:
        print(f"systemd-analyze verify and cloud-init: NOT CHECKED HERE: {reason}")
        return 0
    base = disk_folder(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(dir=base, ignore_cleanup_errors=True) as folder:
        files = Path(folder, "files")
        files.mkdir()
        (files / "user-data").write_text(render_user_data(USERDATA / "bootstrap", VARIABLES))
        (files / "inside.sh").write_text(INSIDE)
        subprocess.run(["cp", "-a", USERDATA, files / "userdata"], check=True)
        done = subprocess.run(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("--propagation", "private", "bash", "-c", ENTER, "bash"),
                *(str(machine_root()), folder),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(f"{done.stdout}{done.stderr}", end="", file=sys.stderr)
        return 1
    print("systemd-analyze verify and cloud-init, in a machine's root: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
