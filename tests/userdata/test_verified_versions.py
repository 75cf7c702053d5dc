"""How ``Ready`` words the versions that only a GPU's libraries tell: numbers in, sentence out.

No GPU is here, so the libraries' answers are made up: those of CUDA 13.0, cuDNN 9.23 and NCCL 2.28
in the forms that their headers define.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from unittest import mock

import pytest
from machine_bench import USERDATA

PROGRAMS = USERDATA / "phases/60-verify-gpu"


def module(name: str, **members: object) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(members)
    return made


@pytest.fixture
def pytorch() -> Iterator[types.ModuleType]:
    functional = module("torch.nn.functional")
    nn = module("torch.nn", functional=functional)
    cuda = types.SimpleNamespace(nccl=types.SimpleNamespace(version=lambda: (2, 28, 9)))
    torch = module(
        "torch",
        nn=nn,
        device=object,
        Tensor=object,
        cuda=cuda,
        version=types.SimpleNamespace(cuda="13.0"),
        backends=types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 92301)),
        __version__="2.14.1+cu130",
    )
    faked = {"torch": torch, "torch.nn": nn, "torch.nn.functional": functional}
    with mock.patch.dict(sys.modules, faked), mock.patch.object(sys, "path", [str(PROGRAMS)]):
        sys.modules.pop("verify_pytorch", None)
        yield importlib.import_module("verify_pytorch")


def test_pytorchs_versions_on_a_gpu(pytorch: types.ModuleType) -> None:
    assert pytorch.versions("gpu") == {
        "CUDA": "13.0",
        "cuDNN": "9.23.1",
        "NCCL": "2.28.9",
        "PyTorch": "2.14.1",
    }


def test_on_a_cpu_only_the_frameworks(pytorch: types.ModuleType) -> None:
    assert pytorch.versions("cpu") == {"PyTorch": "2.14.1"}
