from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from machine_bench import USERDATA

SECTION = """\
```{.python .input}
%load_ext d2lbook.tab
tab.interact_select(['mxnet', 'pytorch'])
```

# GPUs
:label:`sec_use_gpu`

See :numref:`tab_intro`. We can (**query the GPUs**) and [**choose\none**].

:begin_tab:`mxnet`
Only for MXNet.
:end_tab:

:begin_tab:`pytorch, jax`
Only for PyTorch.
:end_tab:

```{.python .input}
%%tab mxnet
answer = "mxnet cell"
```

```{.python .input  n=3}
%%tab pytorch
answer = "pytorch cell"
```

```{.python .input}
%%tab all
print(answer, tab.selected('mxnet'), tab.selected(['pytorch', 'jax']))
```

```bash
echo shown, not run
```
"""


def run(framework: str, book: Path, target: Path) -> subprocess.CompletedProcess[str]:
    program = USERDATA / "lib/convert_book.py"
    command = [sys.executable, str(program), framework, str(book), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def convert(framework: str, folder: Path) -> list[dict[str, Any]]:
    source = folder / "source/chapter_builders-guide"
    source.mkdir(parents=True)
    (source / "use-gpu.md").write_text(SECTION)
    assert run(framework, folder / "source", folder / "book").returncode == 0
    made = json.loads((folder / "book/chapter_builders-guide/use-gpu.ipynb").read_text())
    assert made["metadata"]["kernelspec"]["name"] == framework
    cells: list[dict[str, Any]] = made["cells"]
    return cells


def source(cells: list[dict[str, Any]], kind: str) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == kind)


@pytest.mark.parametrize(
    ("framework", "printed", "text", "other"),
    [
        ("mxnet", "mxnet cell True False\n", "Only for MXNet.", "Only for PyTorch."),
        ("pytorch", "pytorch cell False True\n", "Only for PyTorch.", "Only for MXNet."),
    ],
)
def test_only_the_framework_is_left_and_it_runs(
    tmp_path: Path, framework: str, printed: str, text: str, other: str
) -> None:
    cells = convert(framework, tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(source(cells, "code"), {})
    assert output.getvalue() == printed
    markdown = source(cells, "markdown")
    assert text in markdown
    assert other not in markdown
    assert "# GPUs\n\nSee `tab_intro`. We can query the GPUs and choose\none." in markdown
    assert "```bash\necho shown, not run\n```" in markdown


def test_fails_when_the_source_is_not_the_book(tmp_path: Path) -> None:
    done = run("mxnet", tmp_path, tmp_path / "book")
    assert done.returncode == 1
    assert "is it the source of the book?" in done.stderr
