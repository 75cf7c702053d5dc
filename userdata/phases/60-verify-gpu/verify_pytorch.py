"""The computations of verify.py with PyTorch."""

import sys

import torch
from torch import nn
from torch.nn import functional

#: Relative error; cuDNN's convolutions use TF32, which has 10 bits of mantissa.
TOLERANCE = 1e-2


def count_gpus() -> int:
    """Return the number of GPUs that PyTorch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def contexts(device: str, count: int) -> list[torch.device]:
    """Return PyTorch's devices; it has only one for the CPU."""
    if device == "cpu":
        return [torch.device("cpu")]
    return [torch.device("cuda", index) for index in range(count)]


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
    """Sum one array of each device on all of them, through NCCL."""
    tensors = [torch.full((4,), index + 1.0, device=each) for index, each in enumerate(devices)]
    torch.cuda.nccl.all_reduce(tensors)
    expected = len(devices) * (len(devices) + 1) / 2
    for each, tensor in zip(devices, tensors, strict=True):
        if not bool((tensor == expected).all()):
            sys.exit(f"the all-reduce left {tensor[0].item()} on {each}, not {expected}")


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
