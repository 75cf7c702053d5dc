"""The computations of verify.py with PyTorch.

Usage: verify_pytorch.py RANK COUNT STORE DEVICE    (one process of the all-reduce)
"""

import datetime
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

#: Relative error; cuDNN's convolutions use TF32, which has 10 bits of mantissa.
TOLERANCE = 1e-2
#: Elements of the all-reduce, 16 MiB: enough for every path that NCCL takes between GPUs.
ELEMENTS = 1 << 22
#: Seconds for the all-reduce, the start of its processes included; from a new disk of an image,
#: importing torch takes minutes (estimate). Less than phase.sh allows for all of verify.py.
REDUCE_SECONDS = 600
POLL_SECONDS = 0.2


def count_gpus() -> int:
    """Return the number of GPUs that PyTorch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def contexts(device: str, count: int) -> list[torch.device]:
    """Return PyTorch's devices; all those of the CPU are the same one."""
    return [torch.device("cuda" if device == "gpu" else "cpu", index) for index in range(count)]


def compute(context: torch.device) -> None:
    """Multiply, convolve and train on one device; a wrong result ends the program."""
    left, right = torch.randn(512, 512), torch.randn(512, 512)
    got = left.to(context) @ right.to(context)
    _require_close(f"the matrix product on {context}", got, left @ right)
    image, kernel = torch.randn(2, 8, 32, 32), torch.randn(16, 8, 3, 3)
    got = functional.conv2d(image.to(context), kernel.to(context))
    _require_close(f"the convolution on {context}", got, functional.conv2d(image, kernel))
    _training_step(context)


def _require_close(what: str, got: torch.Tensor, expected: torch.Tensor) -> None:
    error = float((got.cpu() - expected).abs().max() / expected.abs().max())
    if not error < TOLERANCE:
        sys.exit(f"{what} is off by {error:.3g} of its largest value, more than {TOLERANCE}")


# Without torch.optim, which imports PyTorch's compiler at its first use: that takes half as long as
# importing torch.
def _training_step(context: torch.device) -> None:
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1)).to(context)
    weights = list(net.parameters())
    x = torch.randn(256, 8, device=context)
    y = x.sum(dim=1, keepdim=True)
    losses = []
    for _ in range(10):
        loss = functional.mse_loss(net(x), y)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= 0.05 * gradient
        losses.append(loss.item())
    if not losses[-1] < losses[0]:
        sys.exit(f"training on {context} did not lower the loss: {losses[0]} to {losses[-1]}")


def reduce(devices: list[torch.device]) -> None:
    """Sum one array of each device on all of them, with one process each, as training does.

    The processes speak NCCL; on the CPU, Gloo.
    """
    with tempfile.TemporaryDirectory() as store:
        words = [sys.executable, "-I", __file__]
        tail = [str(len(devices)), f"{store}/store", devices[0].type]
        ranks = [
            subprocess.Popen([*words, str(rank), *tail], stdout=subprocess.PIPE, text=True)
            for rank in range(len(devices))
        ]
        try:
            failed = first_failure(ranks)
        finally:
            for process in ranks:
                process.kill()
                process.wait()
    if failed is not None:
        text = (ranks[failed].stdout.read() if ranks[failed].stdout else "").strip()
        why = text or f"exit status {ranks[failed].returncode}"
        sys.exit(f"the all-reduce failed on {devices[failed]}: {why}")


def first_failure(ranks: "list[subprocess.Popen[str]]") -> "int | None":
    """Wait until all processes have ended well, or one has not; return its number."""
    deadline = time.monotonic() + REDUCE_SECONDS
    while True:
        statuses = [process.poll() for process in ranks]
        failed = [rank for rank, status in enumerate(statuses) if status]
        if failed:
            return failed[0]
        if None not in statuses:
            return None
        if time.monotonic() > deadline:
            late = ", ".join(str(rank) for rank, status in enumerate(statuses) if status is None)
            sys.exit(f"the all-reduce did not end within {REDUCE_SECONDS} s on the devices {late}")
        time.sleep(POLL_SECONDS)


def reduce_as(rank: int, count: int, store: str, kind: str) -> str:
    """Take part in the all-reduce as one of its processes; return what is wrong, or nothing."""
    distributed = torch.distributed
    device = torch.device(kind, rank)
    if kind == "cuda":
        torch.cuda.set_device(device)
    else:
        # Without it Gloo would look this machine's name up.
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=Path(store).as_uri(),
        rank=rank,
        world_size=count,
        timeout=datetime.timedelta(seconds=REDUCE_SECONDS),
    )
    # Whole numbers below 2 ** 24, whose sums are exact in any order.
    pattern = torch.arange(ELEMENTS, dtype=torch.float32) % 1024
    tensor = (pattern + rank).to(device)
    distributed.all_reduce(tensor)
    expected = pattern * count + count * (count - 1) / 2
    wrong = int((tensor.cpu() != expected).sum())
    distributed.destroy_process_group()
    return f"{wrong} of {ELEMENTS} sums are wrong" if wrong else ""


def end_with_parent(parent: int) -> None:
    """End this process when its parent has ended, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def versions(device: str) -> dict[str, str]:
    """Return the versions that PyTorch reports."""
    libraries = {}
    if device == "gpu":
        cudnn = torch.backends.cudnn.version() or 0
        libraries = {
            "CUDA": str(torch.version.cuda),
            "cuDNN": f"{cudnn // 10000}.{cudnn % 10000 // 100}.{cudnn % 100}",
            "NCCL": ".".join(str(part) for part in torch.cuda.nccl.version()),
        }
    return {**libraries, "PyTorch": torch.__version__.partition("+")[0]}


def main() -> int:
    """Run as one process of the all-reduce."""
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    rank, count, store, kind = sys.argv[1:]
    try:
        wrong = reduce_as(int(rank), int(count), store, kind)
    except Exception as error:
        wrong = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if wrong:
        print(wrong)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
