"""The GPU builds and their CUDA libraries as a real machine gets them; only the GPU is missing.

Only the wheels themselves show that the loader finds every library that they need.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.notebooks import execute, text_of
from tests.boot.training import resumes
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Account, Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")

LIBRARY = "/opt/gpustation/env/lib/python3.11/site-packages/mxnet/libmxnet.so"
USERDATA = Path(__file__).resolve().parents[2] / "userdata"
SECTION = """\
# Plots

```{.python .input}
%load_ext d2lbook.tab
tab.interact_select(['mxnet', 'pytorch'])
```

```{.python .input}
%%tab pytorch
%matplotlib inline
import torch
from d2l import torch as d2l
x = torch.arange(0, 3, 0.1)
d2l.plot(x, [x ** 2], 'x', 'f(x)')
```

```{.python .input}
%%tab mxnet
raise SystemExit
```

```{.python .input}
%%tab all
board = d2l.ProgressBoard('x')
for x in range(100):
    board.draw(x, x ** 2, 'square', every_n=10)
```
"""
# Whether the compiler, which takes longer to import than to compute, came along
COMPUTES = (
    "import sys, torch, verify_pytorch as it; "
    'it.compute(torch.device("cpu")); print("torch._dynamo" in sys.modules)'
)


def test_nothing_but_the_drivers_library_is_missing(cloud: LocalAws, cdk: Cdk) -> None:
    cloud.control.machine_gpu(True)
    run = cdk.deploy_app("--no-rollback", "-c", "notebooks=false")
    assert run.status != 0
    assert "libcuda.so.1: cannot open shared object file" in " ".join(run.output.split())
    station = Workstation(cloud, Account(cloud).instance()["InstanceId"])
    assert station.signals() == [
        ("driver", "SUCCESS"),
        ("jupyter", "SUCCESS"),
        ("verify", "FAILURE"),
    ]
    missing = station.sh(f"ldd {LIBRARY} | grep 'not found'")
    assert missing.split() == ["libcuda.so.1", "=>", "not", "found"]


def test_pytorchs_build_computes_on_the_cpu_where_it_is_told_to(
    cloud: LocalAws, cdk: Cdk, tmp_path: Path
) -> None:
    cloud.control.machine_gpu(False)
    run = cdk.deploy(framework="pytorch", notebooks=False)
    assert run.status == 0
    assert "no GPU: computed on the CPU: 1 x CPU ready: PyTorch 2.14.1" in run.outputs["Ready"]
    station = Workstation(cloud, run.outputs["InstanceId"])
    kernels = station.sh("/opt/gpustation/env/bin/jupyter kernelspec list --json")
    assert '"pytorch"' in kernels
    assert station.jupyter(station.token()) == 200
    programs = "/opt/gpustation/scripts/phases/60-verify-gpu"
    computes = f"cd {programs} && /opt/gpustation/env/bin/python -c '{COMPUTES}'"
    assert station.sh(computes) == "False"
    versions, times, line = (text_of(cell) for cell in execute(station, "gpu-starter.ipynb")[1:])
    assert versions == "PyTorch 2.14.1+cu130 sees 0 GPU(s)"
    assert times.startswith("cpu: ")
    assert re.search(r"learned \[\[[12]\.\d+, -3\.\d+\]\] 4\.\d+", line)
    resumes(station, "pytorch")
    # A section of the book's form, converted as on a machine that reaches the book
    source, target = tmp_path / "source", tmp_path / "d2l"
    (source / "chapter_of-ours").mkdir(parents=True)
    (source / "chapter_of-ours/plots.md").write_text(SECTION)
    convert = [USERDATA / "phases/40-fetch-notebooks/convert_book.py", "pytorch", source, target]
    subprocess.run([sys.executable, *map(str, convert)], check=True)
    station.put("/home/ubuntu/plots.ipynb", (target / "chapter_of-ours/plots.ipynb").read_text())
    for outputs in execute(station, "plots.ipynb"):
        assert any("image/svg+xml" in output.get("data", {}) for output in outputs)
