"""Seconds of the environment phase on a booted machine, compared with a plain installation.

All in one machine with real systemd and cloud-init, with MXNet's GPU build and its CUDA libraries
(2.3 GB of wheels). Three measurements: the phase as the runner runs it; uv installing the same
wheels into an empty environment; and the chapter's way, pip installing one package after another.
"""

from __future__ import annotations

import statistics
import tempfile
import time

from bench.cdk import DEPLOY, bootstrap, cdk
from localaws import LocalAws
from localaws.machines.booted.root import STAND_INS
from localaws.machines.booted.support import why_not

ROUNDS = 3
LIMIT = 1.25
"""Maximum ratio of the phase to the plain installation (design, section 5)."""
COMMAND_SECONDS = 900
SERVICE = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "bash", "-c")
"""Runs a script as a systemd service, like the runner."""
LOCK = "/opt/gpustation/scripts/locks/mxnet.lock"
FORGET = "rm -rf /opt/gpustation/env /opt/gpustation/uv /opt/gpustation/cache /opt/bare "
FORGET += "/var/lib/gpustation/environment-complete && sync"
PHASE = """
cd /opt/gpustation/scripts
export GPUSTATION_SETTINGS="$(python3 runner/settings.py list)"
export GPUSTATION_PHASE=environment GPUSTATION_RECORD=/run/bench-record
bash phases/30-build-environment/phase.sh
"""
PYTHON = "ls /opt/gpustation/python/cpython-3.11.*/bin/python3.11 2>/dev/null || command -v python3"
"""The Python that the phase used. Only the first boot downloads it, so no round includes that."""
BARE = f"""
export UV_CACHE_DIR=/opt/bare/cache UV_NO_CONFIG=1
uv=/opt/gpustation/uv/bin/uv
$uv venv --quiet --python "$({PYTHON})" /opt/bare/env
$uv pip install --quiet --python /opt/bare/env/bin/python --no-deps --require-hashes \
  --only-binary :all: -r {LOCK}
sync
"""
CHAPTER = f"""
"$({PYTHON})" -m venv /opt/bare/env
pip="/opt/bare/env/bin/python -m pip install --quiet --no-cache-dir"
$pip nvidia-cuda-runtime-cu11==11.8.89 nvidia-cublas-cu11==11.11.3.6 nvidia-cudnn-cu11==8.9.6.50 \
  nvidia-cufft-cu11==10.9.0.58 nvidia-curand-cu11==10.3.0.86 nvidia-cusolver-cu11==11.4.1.48 \
  nvidia-cuda-nvrtc-cu11==11.8.89 nvidia-nvtx-cu11==11.8.86 nvidia-nccl-cu11==2.21.5
$pip mxnet-cu112==1.9.1
$pip d2l==1.0.3
$pip jupyterlab notebook
sync
"""
OTHERS = "cd /var/lib/gpustation/seconds && grep -H '' $(ls | grep -v environment)"


def measure() -> bool:
    """Print seconds and ratios; return true if all are within the limit or no machine can boot."""
    reason = why_not()
    if reason:
        print(f"environment phase: NOT MEASURED, NO MACHINE WAS BOOTED: {reason}")
        return True
    return all([_measure(root) for root in STAND_INS])


def _measure(root: str) -> bool:
    with LocalAws(booted=True, root=root) as aws, tempfile.TemporaryDirectory() as folder:
        box = _machine(aws, folder)
        received = _received(aws, box)
        others = aws.control.machine_run(box, "bash", "-c", OTHERS).stdout.split()
        taken: dict[str, list[float]] = {"phase": [], "bare": []}
        for number in range(ROUNDS):
            # The plain installation uses the uv that the phase installed
            taken["phase"].append(_seconds(aws, box, FORGET, PHASE))
            taken["bare"].append(_seconds(aws, box, "rm -rf /opt/bare && sync", BARE))
            print(f"  round {number + 1}: {taken['phase'][-1]:.1f} s, {taken['bare'][-1]:.1f} s")
        chapter = _seconds(aws, box, FORGET, CHAPTER)
    phase, bare = (statistics.median(taken[name]) for name in ("phase", "bare"))
    ratio = phase / bare
    verdict = "within" if ratio <= LIMIT else "OVER"
    print(
        f"environment phase, MXNet's GPU build, on {root}, median of {ROUNDS}:\n"
        f"  phase {phase:.1f} s, the same wheels by the same uv and nothing more {bare:.1f} s, "
        f"ratio {ratio:.3f} (limit {LIMIT}): {verdict}\n"
        f"  the chapter's way (pip, one after the other, without its CUDA installer), once: "
        f"{chapter:.1f} s, {chapter / phase:.2f} x the phase\n"
        f"  other phases of the first boot, whole seconds: {' '.join(others)}\n"
        f"  received by the machine in its first boot: {received / 1e6:.0f} MB"
    )
    return ratio <= LIMIT


def _machine(aws: LocalAws, folder: str) -> str:
    """Deploy a machine whose set-up gets as far as it can without a GPU; return its id."""
    bootstrap(aws, folder)
    aws.control.machine_gpu(True)
    # The deploy fails in the phase verify, because there is no GPU
    cdk(aws, folder, *DEPLOY, "--no-rollback", "-c", "notebooks=false", succeeds=False)
    return aws.control.history()[-1].instance_id


def _seconds(aws: LocalAws, box: str, before: str, script: str) -> float:
    """Return wall-clock seconds of a script in the machine.

    Raises:
        RuntimeError: The script failed.
    """
    for part in (before, f"set -eo pipefail\n{script}"):
        began = time.perf_counter()
        done = aws.control.machine_run(box, *SERVICE, part, seconds=COMMAND_SECONDS)
        if done.status:
            raise RuntimeError(f"exited {done.status}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - began


def _received(aws: LocalAws, box: str) -> int:
    """Return the bytes that the machine's network interface has received since its boot."""
    shown = aws.control.machine_run(box, "cat", "/proc/net/dev").stdout
    (line,) = [line for line in shown.splitlines() if line.strip().startswith("eth0:")]
    return int(line.partition(":")[2].split()[0])
