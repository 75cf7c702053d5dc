"""Measures a machine with its framework, and prints one JSON document.

It runs on the machine, which has no `gpustation`: the command sends this file there. It needs
Python 3.10 and PyTorch, or MXNet 1.9.1, and prints its progress to standard error.

Usage: machine_program.py [--gpus 1,2,4] [--framework pytorch|mxnet] [--quick]

Each measurement runs in a process of its own, for MXNet reads its settings when it is imported and
PyTorch trains on several GPUs by one process each. A number is the median of repeated runs, with
the lowest and the highest.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.util
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Run = Callable[[], object]

RUNS = 7
"""Repetitions of each measurement; 3 with --quick."""
WARM_UP = 2
CHILD_SECONDS = 900
"""How long one measurement may take, the start of the framework included."""
SMI_SECONDS = 60
POLL_SECONDS = 0.5
MATRIX = {"gpu": 8192, "cpu": 1024}
"""Rows of the square matrices: enough to fill a GPU, and a tenth of a second on a CPU."""
BUFFER_BYTES = {"gpu": 1 << 30, "cpu": 1 << 28}
"""Copied to measure the memory; far more than any cache."""
BATCH = {"gpu": 64, "cpu": 4}
"""Images per device and step; 64 fit into 16 GB in fp32."""
REDUCE_BYTES = {"gpu": 1 << 28, "cpu": 1 << 24}
"""Summed over all GPUs; of that size the bandwidth hardly depends on the latency."""
STEPS = {"gpu": 10, "cpu": 1}
"""Steps of one timed run of the training."""
IMAGE = 224
CLASSES = 1000
FORWARD_GFLOP = 7.72
"""Multiplications and additions of ResNet-50's forward pass per image of 224 x 224: 3.86 billion
multiply-adds (He et al. 2015, table 1: 3.8), with the stride in the first convolution of a block;
counted from the layers by the test."""
TRAIN_PER_FORWARD = 3
"""A backward pass computes two products for each of the forward pass."""
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width and number of the blocks of ResNet-50 (He et al. 2015)."""
NO_TF32 = "its compute capability is below 8.0"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="gpustation-bench")
    parser.add_argument("--gpus", default="", help="GPU counts, e.g. 1,2,4; default: powers of 2")
    parser.add_argument("--framework", choices=["pytorch", "mxnet"])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller measurements")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
        print(json.dumps(CHILDREN[options.child](json.loads(sys.stdin.read()))))
        return 0
    print(json.dumps(measure(options.framework, counts_of(options.gpus), options.quick)))
    return 0


def end_with_parent(parent: int) -> None:
    """End this process when its parent has ended, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def counts_of(text: str) -> list[int]:
    """Return the GPU counts of the option, sorted; none if it is empty."""
    counts = sorted({int(part) for part in text.split(",") if part})
    if any(count < 1 for count in counts):
        sys.exit("--gpus takes numbers of GPUs, e.g. 1,2,4")
    return counts


def measure(framework: str | None, counts: list[int], quick: bool) -> Document:
    """Measure everything and return the document."""
    framework = framework or next((f for f in MODULES if importlib.util.find_spec(MODULES[f])), "")
    if not framework:
        sys.exit("neither PyTorch nor MXNet is installed for " + sys.executable)
    gpus, driver = nvidia_smi()
    task = {"framework": framework, "runs": 3 if quick else RUNS, "quick": quick}
    facts = child("facts", task)
    device = "gpu" if facts["gpus"] else "cpu"
    task["device"] = device
    available = facts["gpus"] or 1
    counts = counts or powers_of_two(available)
    if counts[-1] > available and device == "gpu":
        sys.exit(f"--gpus {counts[-1]}: this machine has {available}")
    single = child("single", task)
    training = []
    for count in counts if device == "gpu" else [1]:
        training.append(child("training", {**task, "gpus": count}))
    reduced = not_reduced("one GPU" if device == "gpu" else "no GPU", counts[-1])
    if device == "gpu" and counts[-1] > 1:
        reduced = child("all_reduce", {**task, "gpus": counts[-1]})
    return {
        "schema": 1,
        "kind": "gpustation bench",
        "measured": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": device,
        "note": "" if device == "gpu" else "no GPU: measured on the CPU",
        "host": {"cpu": cpu_model(), "cpus": os.cpu_count() or 0, "system": platform.platform()},
        "driver": driver,
        "framework": {"name": framework, **facts["versions"]},
        "gpus": gpus if device == "gpu" else [],
        "matrix_products": single["products"],
        "memory": single["memory"],
        "clocks_under_load": single["clocks"],
        "training": training,
        "all_reduce": reduced,
    }


def powers_of_two(available: int) -> list[int]:
    """Return 1, 2, 4, ... and the whole number of GPUs."""
    counts = [1 << exponent for exponent in range(available.bit_length())]
    return sorted({*(count for count in counts if count < available), available})


def child(name: str, task: Document) -> Any:
    """Run a measurement in a process of its own and return its result."""
    say(f"measuring {name}" + (f" on {task['gpus']}" if "gpus" in task else ""))
    command = [sys.executable, str(Path(__file__).resolve()), "--child", name]
    environment = {**os.environ, "NVIDIA_TF32_OVERRIDE": "0"} if name == "single" else os.environ
    if task["framework"] == "pytorch":
        environment = os.environ  # PyTorch has switches of its own for TF32
    try:
        done = subprocess.run(
            command,
            input=json.dumps(task),
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            timeout=CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{name} did not end within {CHILD_SECONDS} s")
    if done.returncode:
        sys.exit(f"{name} failed with exit status {done.returncode}; see above")
    return json.loads(done.stdout.splitlines()[-1])


def say(text: str) -> None:
    """Print progress to standard error, unbuffered."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def timed(run: Run, synchronize: Run, runs: int, work: float) -> Document:
    """Return work per second of repeated runs: median, lowest and highest.

    `work` is what one run does, in the unit of the result.
    """
    for _ in range(WARM_UP):
        run()
    synchronize()
    rates = []
    for _ in range(runs):
        begin = time.perf_counter()
        run()
        synchronize()
        rates.append(work / (time.perf_counter() - begin))
    return spread(rates)


def spread(rates: Sequence[float]) -> Document:
    """Return median, lowest, highest and number of the rates."""
    return {
        "median": statistics.median(rates),
        "low": min(rates),
        "high": max(rates),
        "runs": len(rates),
    }


# What the driver and the system say


def nvidia_smi() -> tuple[list[Document], str | None]:
    """Return the GPUs as the driver lists them, and its version; none and None without one."""
    fields = "name,driver_version,memory.total,compute_cap,clocks.max.sm,clocks.max.mem,power.limit"
    rows = query(fields)
    gpus = [
        {
            "name": row[0],
            "memory_mib": number(row[2]),
            "compute_capability": row[3],
            "max_sm_mhz": number(row[4]),
            "max_memory_mhz": number(row[5]),
            "power_limit_w": number(row[6]),
        }
        for row in rows
    ]
    return gpus, rows[0][1] if rows else None


def clocks() -> list[Document]:
    """Return the present clocks of the GPUs."""
    rows = query("clocks.sm,clocks.mem,temperature.gpu,power.draw")
    names = ("sm_mhz", "memory_mhz", "celsius", "power_w")
    return [dict(zip(names, map(number, row), strict=True)) for row in rows]


def query(fields: str) -> list[list[str]]:
    """Return the rows of nvidia-smi for these fields; none without a driver."""
    command = ["nvidia-smi", "--query-gpu=" + fields, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=SMI_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    width = fields.count(",") + 1
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    # 14: the output is right, but the infoROM, which holds only statistics, is damaged
    return [row for row in rows if len(row) == width] if done.returncode in (0, 14) else []


def number(text: str) -> float | None:
    """Return a number; None for what a GPU does not report."""
    try:
        return float(text)
    except ValueError:
        return None


def cpu_model() -> str:
    """Return the model of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"model name\s*: (.+)", text)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


# PyTorch


class Torch:
    """The measurements with PyTorch."""

    def __init__(self) -> None:
        torch: Any = importlib.import_module("torch")
        self.torch = torch
        self.has_gpu: bool = torch.cuda.is_available()

    def gpus(self) -> int:
        """Return the number of GPUs."""
        return int(self.torch.cuda.device_count()) if self.has_gpu else 0

    def versions(self) -> Document:
        """Return the versions that the libraries report."""
        torch = self.torch
        found = {"version": str(torch.__version__), "cuda": None, "cudnn": None}
        if self.has_gpu:
            found["cuda"] = str(torch.version.cuda)
            found["cudnn"] = str(torch.backends.cudnn.version())
        return found

    def device(self, index: int = 0) -> Any:
        """Return a device."""
        return self.torch.device("cuda", index) if self.has_gpu else self.torch.device("cpu")

    def synchronize(self) -> None:
        """Wait until the GPU has done everything."""
        if self.has_gpu:
            self.torch.cuda.synchronize()

    def precisions(self) -> dict[str, str]:
        """Return what to multiply in, with the reason why one cannot be measured."""
        if not self.has_gpu:
            return {"fp32": "", "tf32": "no GPU", "bf16": "no GPU"}
        old = self.torch.cuda.get_device_capability(0) < (8, 0)
        return {"fp32": "", "tf32": NO_TF32 if old else "", "bf16": NO_TF32 if old else ""}

    def product(self, precision: str, size: int, runs: int) -> Document:
        """Return the rate of a matrix product."""
        torch = self.torch
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        left, right = (torch.randn(size, size, device=self.device(), dtype=kind) for _ in range(2))
        out = torch.empty_like(left)
        return timed(
            lambda: torch.mm(left, right, out=out), self.synchronize, runs, 2 * size**3 / 1e12
        )

    def copy(self, size: int, runs: int) -> Document:
        """Return the rate of a copy in memory; each byte is read and written."""
        torch = self.torch
        source = torch.zeros(size // 4, device=self.device())
        target = torch.empty_like(source)
        return timed(lambda: target.copy_(source), self.synchronize, runs, 2 * size / 1e9)

    def resnet(self) -> Any:
        """Return ResNet-50, in the form of its paper."""
        nn: Any = self.torch.nn

        class Block(nn.Module):  # type: ignore[misc]
            def __init__(self, inside: int, width: int, stride: int) -> None:
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Conv2d(inside, width, 1, stride, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, 1, 1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, 4 * width, 1, bias=False),
                    nn.BatchNorm2d(4 * width),
                )
                self.shortcut = nn.Sequential()
                if inside != 4 * width or stride != 1:
                    self.shortcut = nn.Sequential(
                        nn.Conv2d(inside, 4 * width, 1, stride, bias=False),
                        nn.BatchNorm2d(4 * width),
                    )

            def forward(self, x: Any) -> Any:
                return nn.functional.relu(self.layers(x) + self.shortcut(x))

        layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        layers.append(nn.MaxPool2d(3, 2, 1))
        inside = 64
        for stage, (width, blocks) in enumerate(STAGES):
            for block in range(blocks):
                layers.append(Block(inside, width, 2 if stage and not block else 1))
                inside = 4 * width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, CLASSES)]
        return nn.Sequential(*layers)

    def training(self, task: Document) -> Document:
        """Return the rate of training steps on several GPUs, one process for each."""
        if task["gpus"] == 1:
            return train_torch({**task, "rank": 0, "address": ""})
        return together("rank", task)

    def all_reduce(self, task: Document) -> Document:
        """Return the rate of an all-reduce over several GPUs, one process for each."""
        return together("reduce-rank", task)


def together(name: str, task: Document) -> Document:
    """Return the result of the first of several processes, one for each GPU."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, str(Path(__file__).resolve()), "--child", name]
    ranks: list[subprocess.Popen[str]] = []
    for rank in range(task["gpus"]):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ranks.append(process)
        assert process.stdin
        process.stdin.write(
            json.dumps({**task, "rank": rank, "address": f"tcp://127.0.0.1:{port}"})
        )
        process.stdin.close()
    _await(ranks)
    outputs = [process.stdout.read() for process in ranks if process.stdout]
    result: Document = json.loads(outputs[0].splitlines()[-1])
    return result


def _await(ranks: Sequence[subprocess.Popen[str]]) -> None:
    """Wait for processes of which each waits for the others; one that fails ends them all."""
    statuses = [process.poll() for process in ranks]
    while None in statuses:
        if any(statuses):
            for process in ranks:
                process.kill()
        time.sleep(POLL_SECONDS)
        statuses = [process.poll() for process in ranks]
    if any(statuses):
        sys.exit(f"the processes of the GPUs ended with {statuses}")


def train_torch(task: Document) -> Document:
    """Train in this process, together with those of the other ranks; returns the rate of all."""
    framework = Torch()
    torch: Any = framework.torch
    count: int = task["gpus"]
    device = framework.device(task["rank"])
    if framework.has_gpu:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    model = framework.resnet().to(device)
    if count > 1:
        torch.distributed.init_process_group(
            "nccl" if framework.has_gpu else "gloo",
            init_method=task["address"],
            rank=task["rank"],
            world_size=count,
        )
        ids = [task["rank"]] if framework.has_gpu else None
        model = torch.nn.parallel.DistributedDataParallel(model, device_ids=ids)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batch, steps = batch_and_steps(task)
    x = torch.randn(batch, 3, IMAGE, IMAGE, device=device)
    y = torch.randint(CLASSES, (batch,), device=device)

    def run() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    def synchronize() -> None:
        framework.synchronize()
        if count > 1:
            torch.distributed.barrier()

    images = timed(run, synchronize, task["runs"], batch * steps * count)
    tf32 = framework.has_gpu and torch.cuda.get_device_capability(0) >= (8, 0)
    if count > 1:
        torch.distributed.destroy_process_group()
    return trained(task, images, "tf32" if tf32 else "fp32")


def reduce_torch(task: Document) -> Document:
    """Sum an array of each rank on all of them; returns the rate."""
    framework = Torch()
    torch: Any = framework.torch
    device = framework.device(task["rank"])
    if framework.has_gpu:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group(
        "nccl" if framework.has_gpu else "gloo",
        init_method=task["address"],
        rank=task["rank"],
        world_size=task["gpus"],
    )
    size = reduce_bytes(task)
    # Zeros, whose sum stays the same however often it is made
    array = torch.zeros(size // 4, device=device)

    def synchronize() -> None:
        framework.synchronize()
        torch.distributed.barrier()

    def run() -> None:
        torch.distributed.all_reduce(array)

    rates = timed(run, synchronize, task["runs"], size / 1e9)
    torch.distributed.destroy_process_group()
    return reduced(task, rates, "nccl" if framework.has_gpu else "gloo")


# MXNet 1.9.1


class MxNet:
    """The measurements with MXNet."""

    def __init__(self) -> None:
        self.mx: Any = importlib.import_module("mxnet")
        self.has_gpu: bool = self.mx.context.num_gpus() > 0

    def gpus(self) -> int:
        """Return the number of GPUs."""
        return int(self.mx.context.num_gpus())

    def versions(self) -> Document:
        """Return the versions; MXNet does not report those of CUDA."""
        return {"version": self.mx.__version__, "cuda": None, "cudnn": None}

    def device(self, index: int = 0) -> Any:
        """Return a context."""
        return self.mx.gpu(index) if self.has_gpu else self.mx.cpu(index)

    def synchronize(self) -> None:
        """Wait until everything is computed."""
        self.mx.nd.waitall()

    def precisions(self) -> dict[str, str]:
        """Return what to multiply in, with the reason why one cannot be measured."""
        if not self.has_gpu:
            return {"fp32": "", "tf32": "no GPU", "bf16": "no GPU"}
        return {
            "fp32": "",
            "tf32": "MXNet 1.9.1 has no switch for it",
            "bf16": "MXNet 1.9.1 has none on GPUs",
        }

    def product(self, precision: str, size: int, runs: int) -> Document:
        """Return the rate of a matrix product; TF32 is switched off in the environment."""
        nd = self.mx.nd
        left, right = (
            nd.random.normal(shape=(size, size), ctx=self.device(), dtype="float32")
            for _ in range(2)
        )
        out = nd.zeros((size, size), ctx=self.device())
        return timed(
            lambda: nd.dot(left, right, out=out), self.synchronize, runs, 2 * size**3 / 1e12
        )

    def copy(self, size: int, runs: int) -> Document:
        """Return the rate of a copy in memory; each byte is read and written."""
        nd = self.mx.nd
        source = nd.zeros((size // 4,), ctx=self.device())
        target = nd.zeros((size // 4,), ctx=self.device())
        return timed(lambda: source.copyto(target), self.synchronize, runs, 2 * size / 1e9)

    def training(self, task: Document) -> Document:
        """Return the rate of training steps on several GPUs, all in this process."""
        mx = self.mx
        autograd: Any = importlib.import_module("mxnet.autograd")
        gluon: Any = importlib.import_module("mxnet.gluon")
        devices = [self.device(index) for index in range(task["gpus"])]
        net = gluon.model_zoo.vision.resnet50_v1(classes=CLASSES)
        net.initialize(mx.init.Xavier(), ctx=devices)
        net.hybridize(static_alloc=True, static_shape=True)
        trainer = gluon.Trainer(
            net.collect_params(),
            "sgd",
            {"learning_rate": 0.01, "momentum": 0.9},
            kvstore="nccl" if self.has_gpu and len(devices) > 1 else "device",
        )
        loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
        batch, steps = batch_and_steps(task)
        shape = (batch, 3, IMAGE, IMAGE)
        xs = [mx.nd.random.normal(shape=shape, ctx=each) for each in devices]
        ys = [mx.nd.zeros((batch,), ctx=each) for each in devices]

        def run() -> None:
            for _ in range(steps):
                with autograd.record():
                    losses = [loss_of(net(x), y) for x, y in zip(xs, ys, strict=True)]
                autograd.backward(losses)
                trainer.step(batch * len(devices))

        work = batch * steps * len(devices)
        images = timed(run, self.synchronize, task["runs"], work)
        precision = "fp32, convolutions may use TF32" if self.has_gpu else "fp32"
        return trained(task, images, precision)

    def all_reduce(self, task: Document) -> Document:
        """Return the rate at which a key-value store sums gradients, as gluon.Trainer uses it."""
        nd, size = self.mx.nd, reduce_bytes(task)
        devices = [self.device(index) for index in range(task["gpus"])]
        kind = "nccl" if self.has_gpu else "device"
        store = self.mx.kv.create(kind)
        arrays = [nd.zeros((size // 4,), ctx=each) for each in devices]
        store.init(0, arrays[0])

        def run() -> None:
            store.push(0, arrays)
            store.pull(0, out=arrays)

        rates = timed(run, self.synchronize, task["runs"], size / 1e9)
        return reduced(task, rates, f"kvstore {kind}")


def batch_and_steps(task: Document) -> tuple[int, int]:
    """Return images per device and steps of one timed run."""
    batch = BATCH[task["device"]]
    return (max(batch // 2, 1), 1) if task["quick"] else (batch, STEPS[task["device"]])


def trained(task: Document, images: Document, precision: str) -> Document:
    """Return the result of a training."""
    tera = FORWARD_GFLOP * TRAIN_PER_FORWARD / 1e3
    flops = {name: images[name] * tera for name in ("median", "low", "high")}
    return {
        "gpus": task["gpus"] if task["device"] == "gpu" else 0,
        "batch_per_device": batch_and_steps(task)[0],
        "precision": precision,
        "images_per_s": images,
        "tflop_per_s": {**flops, "runs": images["runs"]},
    }


def reduce_bytes(task: Document) -> int:
    """Return the size of the array of an all-reduce."""
    return REDUCE_BYTES[task["device"]] // (4 if task["quick"] else 1)


def reduced(task: Document, rates: Document, way: str) -> Document:
    """Return the result of an all-reduce.

    With n GPUs each sends and receives 2 (n - 1) / n of the array, by any algorithm: that is the
    bandwidth of the bus, which can be compared between numbers of GPUs (NVIDIA's nccl-tests,
    PERFORMANCE.md).
    """
    factor = 2 * (task["gpus"] - 1) / task["gpus"]
    bus = {name: rates[name] * factor for name in ("median", "low", "high")}
    return {
        "gpus": task["gpus"],
        "bytes": reduce_bytes(task),
        "way": way,
        "gb_per_s": rates,
        "bus_gb_per_s": {**bus, "runs": rates["runs"]},
        "reason": "",
    }


def not_reduced(reason: str, count: int) -> Document:
    """Return the result of an all-reduce that was not made."""
    nothing = {"bytes": 0, "way": "", "gb_per_s": None, "bus_gb_per_s": None}
    return {"gpus": count if reason == "one GPU" else 0, **nothing, "reason": reason}


MODULES = {"pytorch": "torch", "mxnet": "mxnet"}


def load(task: Document) -> Torch | MxNet:
    """Return the measurements with the framework of a task."""
    return Torch() if task["framework"] == "pytorch" else MxNet()


def facts(task: Document) -> Document:
    """Return the number of GPUs and the versions."""
    framework = load(task)
    return {"gpus": framework.gpus(), "versions": framework.versions()}


def single(task: Document) -> Document:
    """Measure matrix products and memory of one device."""
    framework, device = load(task), task["device"]
    size = MATRIX[device] // (4 if task["quick"] else 1)
    products = []
    for precision, reason in framework.precisions().items():
        row = {"precision": precision, "size": size, "tflop_per_s": None, "reason": reason}
        if not reason:
            row["tflop_per_s"] = framework.product(precision, size, task["runs"])
        products.append(row)
    under_load = clocks()
    size = BUFFER_BYTES[device] // (4 if task["quick"] else 1)
    memory = {"bytes": size, "gb_per_s": framework.copy(size, task["runs"])}
    return {"products": products, "memory": memory, "clocks": under_load}


def training(task: Document) -> Document:
    """Measure a training step on a number of devices."""
    return load(task).training({**task, "gpus": task.get("gpus", 1)})


def all_reduce(task: Document) -> Document:
    """Measure an all-reduce over several devices."""
    return load(task).all_reduce(task)


CHILDREN = {
    "facts": facts,
    "single": single,
    "training": training,
    "rank": train_torch,
    "all_reduce": all_reduce,
    "reduce-rank": reduce_torch,
}

if __name__ == "__main__":
    sys.exit(main())
