"""Parts about the machine: deploy, compute, ways in, packages, power, type, speed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
import urllib.error
import urllib.request
from typing import Any

from acceptance.commands import Started
from acceptance.outcome import LeftOutError, PartFailedError
from acceptance.run import NO, UNKNOWN, YES, Evidence, Run
from gpustation.offers.quota import read_report

URL = re.compile(r"http://localhost:\d+/\?token=\S+")
PAGE_SECONDS = 300.0
PACKAGE = "cowsay"
"""Small, pure Python, and needs nothing else."""
COMPUTE = {
    "mxnet": """
import mxnet as mx
on = mx.gpu() if mx.context.num_gpus() else mx.cpu()
a = mx.nd.ones((1024, 1024), ctx=on)
print("computed", int(mx.nd.dot(a, a).sum().asscalar()), "on", on, "with", mx.__version__)
""",
    "pytorch": """
import torch
on = "cuda" if torch.cuda.is_available() else "cpu"
a = torch.ones(1024, 1024, device=on)
print("computed", int((a @ a).sum().item()), "on", on, "with", torch.__version__)
""",
}
COMPUTED = 1024**3
"""Sum of the product of two matrices of ones; a power of two, so exact in every float format."""
GPUS = "nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true"
KERNEL_MODULE = "modinfo -F license nvidia 2>/dev/null || echo none"
OPEN_LICENSE = "Dual MIT/GPL"
"""License of NVIDIA's open kernel module; that of the proprietary one is NVIDIA."""
GSP_ERRORS = "sudo dmesg | grep -E 'NVRM.*(Xid.*: (119|120)|GSP)' | head -3 || true"
AGENT_SLEEPS = """
units='-u snap.amazon-ssm-agent.amazon-ssm-agent -u amazon-ssm-agent'
if sudo journalctl -q -o cat -b $units | grep -q .; then echo some; else echo none; fi
sudo journalctl -q -o cat -b $units | grep -iE 'sleeping for|hibernat' | head -2 || true
"""
SHOW = """
import json
for cell in json.load(open("acceptance.ipynb"))["cells"]:
    for output in cell["outputs"]:
        print("".join(output.get("text", "")), *output.get("traceback", []))
"""


def deploy(run: Run) -> Evidence:
    """The machine from the stock image, until it is ready."""
    free = read_report(run.world.session(), run.gpu_type).verdict.free
    begun = run.world.clock()
    document = run.up().document
    ready = run.ready(document["ready"])
    run.notes["stock seconds"] = run.world.clock() - begun
    outputs = _outputs(run)
    _probe_reservation(run, free, outputs.get("Capacity", ""))
    run.probes["S12"] = (NO, "the deploy met no denial that is not its own")
    _open_a_way_in(run)
    if not run.notes.get("record"):
        _probe_agent(run)
    return {
        "ready": ready,
        "seconds to ready": round(run.notes["stock seconds"], 1),
        "quota": outputs.get("Quota", ""),
        "capacity": outputs.get("Capacity", ""),
    }


def _open_a_way_in(run: Run) -> None:
    """Open port 22 to this computer if Session Manager's programs are not here."""
    path = run.world.environment["PATH"]
    programs = ("aws", "session-manager-plugin")
    if run.notes.get("record") or all(shutil.which(one, path=path) for one in programs):
        return
    words = ("--address", run.world.visitor) if run.world.visitor else ()
    run.gpustation("allow-my-ip", *words)


def _probe_agent(run: Run) -> None:
    """S5: whether AWS refused the SSM agent at first boot."""
    said = run.on_machine(AGENT_SLEEPS).splitlines()
    if said[0] == "none":
        run.probes["S5"] = (UNKNOWN, "the machine has no journal of an SSM agent")
        return
    online = f"Systems Manager knows the machine: {_is_online(run)}"
    run.probes["S5"] = (YES if len(said) > 1 else NO, "; ".join([*said[1:3], online]))


def _is_online(run: Run) -> str:
    client = run.world.session().client("ssm")
    machine = run.status()["machine"]["instance_id"]
    rows = client.describe_instance_information(
        Filters=[{"Key": "InstanceIds", "Values": [machine]}]
    )["InstanceInformationList"]
    return rows[0]["PingStatus"] if rows else "no"


def _probe_reservation(run: Run, free: int | None, capacity: str) -> None:
    """B1: whether a machine in a reservation counts once."""
    held = "has room" in capacity
    need = run.gpu_type.vcpus
    if held and free is not None and free < 2 * need:
        run.probes["B1"] = (YES, f"launched into the room held for it with {free} vCPUs free")
    else:
        room = "unknown" if free is None else f"{free} vCPUs free, {need} needed"
        run.probes["B1"] = (UNKNOWN, f"{room}; {capacity or 'no room was held'}")


def compute(run: Run) -> Evidence:
    """Compute on the GPU from a plain shell."""
    said = computed(run)
    gpus = run.on_machine(GPUS)
    module = run.on_machine(KERNEL_MODULE)
    return {"computed": said, "GPUs": gpus or "none", "kernel module": " ".join(module.split())}


def computed(run: Run) -> str:
    """What a small computation on the machine says of itself, checked."""
    program = COMPUTE[run.settings["framework"]].strip()
    said = run.on_machine(f"python3 -c {shlex.quote(program)}").splitlines()[-1]
    if f"computed {COMPUTED} " not in said:
        raise PartFailedError(f"the computation gave {said!r}, not {COMPUTED}")
    if run.world.where == "aws" and not re.search(r" on (gpu|cuda)", said):
        raise PartFailedError(f"it did not compute on the GPU: {said}")
    return said


def reach(run: Run) -> Evidence:
    """A shell, the tunnel, and JupyterLab's page through it, with and without its token."""
    run.require_machine()
    shell = run.gpustation_ssh("id -un; hostname >/dev/null; uptime -p")
    route = _route(shell.err)
    words = ("gpustation", "jupyter", "--no-browser", "--name", run.file.name, "--yes")
    with run.commands.started(words) as tunnel:
        url = _address(run, tunnel)
        status, page = _fetch(url.replace("/?", "/lab?"))
        refused, _ = _fetch(url.partition("?")[0] + "api/contents")
        tunnel.end()
        ended = tunnel.finished().status
    if status != 200 or "JupyterLab" not in page:
        raise PartFailedError(f"JupyterLab's page: HTTP status {status}, {page[:80]!r}")
    if refused != 403:
        raise PartFailedError(f"Jupyter answers with HTTP status {refused} without its token")
    if ended != 0:
        raise PartFailedError(f"the tunnel ended with exit status {ended} at Ctrl-C")
    return {
        "user": shell.out.split()[0],
        "route": route,
        "JupyterLab": status,
        "without the token": refused,
    }


def _route(errors: str) -> str:
    for route in ("Session Manager", "public address"):
        if route in errors:
            return route
    return "unknown"


def _address(run: Run, tunnel: Started) -> str:
    deadline = time.monotonic() + PAGE_SECONDS
    while time.monotonic() < deadline and tunnel.process.poll() is None:
        if match := URL.search(tunnel.out):
            return match[0]
        run.commands.pause(0.2)
    tunnel.end()
    raise PartFailedError(f"`gpustation jupyter` showed no address: {tunnel.finished().last_words}")


def _fetch(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=60) as answer:
            return int(answer.status), answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        raise PartFailedError(f"Jupyter did not answer through the tunnel: {error}") from error


def packages(run: Run) -> Evidence:
    """``%pip install`` in a notebook, and what it installed in a plain shell."""
    framework = run.settings["framework"]
    sources = (
        f"%pip install -q {PACKAGE}",
        f"import {PACKAGE}; print({PACKAGE}.get_output_string('cow', 'from a notebook'))",
        COMPUTE[framework].strip(),
    )
    notebook = json.dumps(_notebook(sources, framework))
    encoded = shlex.quote(notebook)
    run.on_machine(f"printf %s {encoded} >acceptance.ipynb")
    run.on_machine("jupyter execute --inplace acceptance.ipynb")
    shown = run.on_machine(f"python3 -c {shlex.quote(SHOW)}")
    plain = run.on_machine(f"python3 -c 'import {PACKAGE}; print({PACKAGE}.__name__)'")
    if "from a notebook" not in shown or str(COMPUTED) not in shown or plain != PACKAGE:
        raise PartFailedError(f"the notebook said {shown[-200:]!r}, the shell {plain!r}")
    return {"notebook": shown.splitlines()[-1], "shell": f"{PACKAGE} is imported"}


def _notebook(sources: tuple[str, ...], kernel: str) -> dict[str, Any]:
    cells: list[dict[str, Any]] = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernelspec},
        "cells": cells,
    }


def power(run: Run) -> Evidence:
    """Stop, start and reboot; a file and the environment are there afterwards."""
    mark = run.file.name
    answers = not run.notes.get("record")
    if answers:
        run.on_machine(f"echo {mark} >acceptance.txt")
    before = run.status()["machine"]["instance_id"]
    stop = run.gpustation("stop", "--yes")
    state = run.status()["machine"]["state"]
    if state != "stopped":
        raise PartFailedError(f"the machine is {state} after `gpustation stop`")
    start = run.gpustation("start", "--yes")
    if run.status()["machine"]["instance_id"] != before:
        raise PartFailedError("another machine runs after stop and start")
    evidence: Evidence = {
        "stop seconds": round(stop.seconds, 1),
        "start seconds": round(start.seconds, 1),
    }
    reboot = run.gpustation("reboot", "--yes")
    evidence["reboot seconds"] = round(reboot.seconds, 1)
    if answers:
        if run.on_machine("cat acceptance.txt") != mark:
            raise PartFailedError("a file of before is not there after stop, start and reboot")
        evidence["computed"] = computed(run)
    return evidence


def type_change(run: Run) -> Evidence:
    """Another type in place: the same machine and disk."""
    if run.larger is None:
        raise LeftOutError(f"no larger type with the same GPU than {run.gpu_type.name} is known")
    before = run.status()["machine"]
    wanted = {"name": run.file.name, **run.settings, "instance_type": run.larger.name}
    words = [word for row in wanted.items() for word in ("-c", "=".join(row))]
    stops = 12  # the plan's exit status for a stop and start
    run.commands.gpustation("plan", *words, statuses=(stops,))
    run.up(instance_type=run.larger.name)
    after = run.status()["machine"]
    run.settings["instance_type"] = run.gpu_type.name  # for the machines that follow
    if (after["instance_id"], after["instance_type"]) != (before["instance_id"], run.larger.name):
        raise PartFailedError(
            f"the machine is a {after['instance_type']}, and "
            f"{'the same' if after['instance_id'] == before['instance_id'] else 'another'}"
        )
    evidence: Evidence = {"from": before["instance_type"], "to": after["instance_type"]}
    if not run.notes.get("record"):
        evidence["computed"] = computed(run)
    return evidence


def bench(run: Run) -> Evidence:
    """``gpustation bench``, short."""
    run.require_machine()
    record = run.logs / "bench.json"
    run.gpustation("bench", "--quick", "--yes", "--output", str(record))
    document = json.loads(record.read_text(encoding="utf-8"))
    framework = document["framework"]
    evidence: Evidence = {
        "device": document["device"],
        "framework": f"{framework['name']} {framework['version']}",
        "CUDA": framework["cuda"] or "none",
    }
    for row in document["matrix_products"]:
        if row["tflop_per_s"]:
            name = f"{row['precision']} {row['size']}: TFLOP/s"
            evidence[name] = round(row["tflop_per_s"]["median"], 2)
    for row in document["training"]:
        if row["images_per_s"]:
            name = f"ResNet-50 {row['precision']}, {row['gpus']} GPUs: images/s"
            evidence[name] = round(row["images_per_s"]["median"], 1)
    _probe_firmware(run)
    return evidence


def _probe_firmware(run: Run) -> None:
    """S8: whether the open kernel module reports errors of the GPU's firmware."""
    module = run.on_machine(KERNEL_MODULE)
    if module != OPEN_LICENSE:
        run.probes["S8"] = (UNKNOWN, f"the kernel module is not the open one: {module}")
        return
    errors = run.on_machine(GSP_ERRORS)
    run.probes["S8"] = (YES if errors else NO, errors or "no such line after bench")


def _outputs(run: Run) -> dict[str, str]:
    client = run.world.session().client("cloudformation")
    (row,) = client.describe_stacks(StackName=run.workstation)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in row.get("Outputs", [])}
