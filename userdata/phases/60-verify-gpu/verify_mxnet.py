"""The computations of verify.py with MXNet."""

import ctypes
import sys

import mxnet as mx
import numpy
from mxnet import autograd, gluon, nd

#: Relative error; TF32 products on Ampere have 10 bits of mantissa.
TOLERANCE = 1e-2
#: Elements of the all-reduce, 16 MiB: enough for every path that NCCL takes between GPUs.
ELEMENTS = 1 << 22


def count_gpus() -> int:
    """Return the number of GPUs that MXNet can use."""
    return int(mx.context.num_gpus())


def contexts(device: str, count: int) -> list[object]:
    """Return MXNet's contexts; on the CPU it can have any number of them."""
    return [mx.gpu(index) if device == "gpu" else mx.cpu(index) for index in range(count)]


def compute(context: object) -> None:
    """Multiply, convolve and train on one device; a wrong result ends the program."""
    _product(context)
    _convolution(context)
    _training_step(context)


def _require_close(what: str, got: numpy.ndarray, expected: numpy.ndarray) -> None:
    error = float(numpy.abs(got - expected).max() / numpy.abs(expected).max())
    if not error < TOLERANCE:
        sys.exit(f"{what} is off by {error:.3g} of its largest value, more than {TOLERANCE}")


def _product(context: object) -> None:
    left, right = (nd.random.normal(shape=(512, 512), ctx=mx.cpu()) for _ in range(2))
    got = nd.dot(left.as_in_context(context), right.as_in_context(context)).asnumpy()
    _require_close(f"the matrix product on {context}", got, left.asnumpy() @ right.asnumpy())


def _convolution(context: object) -> None:
    image = nd.random.normal(shape=(2, 8, 32, 32), ctx=mx.cpu())
    kernel = nd.random.normal(shape=(16, 8, 3, 3), ctx=mx.cpu())

    def convolve(where: object) -> numpy.ndarray:
        return nd.Convolution(
            image.as_in_context(where),
            kernel.as_in_context(where),
            kernel=(3, 3),
            num_filter=16,
            no_bias=True,
        ).asnumpy()

    _require_close(f"the convolution on {context}", convolve(context), convolve(mx.cpu()))


def _training_step(context: object) -> None:
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Dense(32, activation="relu"), gluon.nn.Dense(1))
    net.initialize(ctx=context)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.05})
    x = nd.random.normal(shape=(256, 8), ctx=context)
    y = x.sum(axis=1, keepdims=True)
    losses = []
    for _ in range(10):
        with autograd.record():
            loss = gluon.loss.L2Loss()(net(x), y).mean()
        loss.backward()
        trainer.step(1)
        losses.append(loss.asscalar())
    if not losses[-1] < losses[0]:
        sys.exit(f"training on {context} did not lower the loss: {losses[0]} to {losses[-1]}")


def reduce(devices: list[object]) -> None:
    """Sum one array of each device on all of them, as ``gluon.Trainer`` does with gradients."""
    store = mx.kv.create("nccl" if devices[0] != mx.cpu() else "device")
    store.init(0, nd.zeros((ELEMENTS,), ctx=devices[0]))
    # Whole numbers below 2 ** 24, whose sums are exact in any order.
    pattern = numpy.arange(ELEMENTS, dtype="float32") % 1024
    store.push(0, [nd.array(pattern + index, ctx=each) for index, each in enumerate(devices)])
    results = [nd.zeros((ELEMENTS,), ctx=each) for each in devices]
    store.pull(0, out=results)
    count = len(devices)
    expected = pattern * count + count * (count - 1) / 2
    for each, result in zip(devices, results, strict=True):
        wrong = int((result.asnumpy() != expected).sum())
        if wrong:
            sys.exit(f"the all-reduce left {wrong} of {ELEMENTS} wrong sums on {each}")


def versions(device: str) -> dict[str, str]:
    """Return the versions that the loaded libraries report."""
    libraries = {}
    if device == "gpu":
        libraries = {"CUDA": _cuda(), "cuDNN": _cudnn(), "NCCL": _nccl()}
    return {**libraries, "MXNet": mx.__version__}


def _cuda() -> str:
    number = ctypes.c_int()
    ctypes.CDLL("libcudart.so.11.0").cudaRuntimeGetVersion(ctypes.byref(number))
    return f"{number.value // 1000}.{number.value % 1000 // 10}"


def _cudnn() -> str:
    library = ctypes.CDLL("libcudnn.so.8")
    library.cudnnGetVersion.restype = ctypes.c_size_t
    number = library.cudnnGetVersion()
    return f"{number // 1000}.{number % 1000 // 100}.{number % 100}"


def _nccl() -> str:
    number = ctypes.c_int()
    ctypes.CDLL("libnccl.so.2").ncclGetVersion(ctypes.byref(number))
    return f"{number.value // 10000}.{number.value % 10000 // 100}.{number.value % 100}"
