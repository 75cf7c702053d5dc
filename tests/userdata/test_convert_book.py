from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

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


#: Every form in which the book marks a code cell, and whose notebook the cell is in.
MARKS = {
    "%%tab mxnet": {"mxnet"},
    "%%tab all": {"mxnet", "pytorch"},
    "%%tab all   ": {"mxnet", "pytorch"},
    "%%tab pytorch, mxnet, tensorflow": {"mxnet", "pytorch"},
    "%%tab tensorflow, jax": set(),
    "#@tab mxnet": {"mxnet"},
    "#@tab pytorch": {"pytorch"},
    "#@tab tensorflow": set(),
    "#@tab all": {"mxnet", "pytorch"},
    "#@tab mxnet, pytorch": {"mxnet", "pytorch"},
    "#@tab mxnet,pytorch": {"mxnet", "pytorch"},
    "#@tab pytorch , tensorflow": {"pytorch"},
    "# @tab mxnet": {"mxnet"},
    "# %%tab jax": set(),
    "# %%tab pytorch": {"pytorch"},
    "\n%%tab pytorch, tensorflow, jax": {"pytorch"},
    "\n\n#@tab mxnet": {"mxnet"},
    "#@save": {"mxnet", "pytorch"},
}
#: Every form in which the head of a section lists the frameworks that the book has it for.
HEADS = {
    "tab.interact_select('mxnet', 'pytorch', 'jax')": {"mxnet", "pytorch"},
    "tab.interact_select(['mxnet', 'pytorch', 'tensorflow', 'jax'])": {"mxnet", "pytorch"},
    "tab.interact_select(['pytorch'])": {"pytorch"},
    'tab.interact_select(["pytorch"])': {"pytorch"},
    "tab.interact_select(['pytorch', 'jax'])": {"pytorch"},
    "tab.interact_select('mxnet')": {"mxnet"},
}


def run(framework: str, book: Path, target: Path) -> subprocess.CompletedProcess[str]:
    program = USERDATA / "phases/40-fetch-notebooks/convert_book.py"
    command = [sys.executable, str(program), framework, str(book), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def convert(framework: str, folder: Path, section: str = SECTION) -> list[dict[str, Any]]:
    source = folder / "source/chapter_builders-guide"
    source.mkdir(parents=True)
    (source / "use-gpu.md").write_text(section)
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


def cell(code: str) -> str:
    return f"```{{.python .input  n=7}}\n{code}\n```\n\n"


@pytest.mark.parametrize("framework", ["mxnet", "pytorch"])
@pytest.mark.parametrize("mark", MARKS)
def test_a_cell_is_its_frameworks_alone_and_its_mark_is_gone(
    tmp_path: Path, framework: str, mark: str
) -> None:
    section = "# Title\n\n" + cell("%%tab all\nshared = 1") + cell(f"{mark}\nmarked = 2")
    code = source(convert(framework, tmp_path, section), "code")
    own = ["#@save", "marked = 2"] if mark == "#@save" else ["marked = 2"]
    assert code.split("\n") == ["shared = 1", *(own if framework in MARKS[mark] else [])]


def test_marks_further_down_in_a_cell_are_gone(tmp_path: Path) -> None:
    marked = "%%tab pytorch, mxnet\nfirst = 1\n\n#@tab pytorch, mxnet\nsecond = 2  # @tab mxnet"
    code = source(convert("mxnet", tmp_path, cell(marked)), "code")
    assert code == "first = 1\n\nsecond = 2  # @tab mxnet"


@pytest.mark.parametrize("framework", ["mxnet", "pytorch"])
@pytest.mark.parametrize("head", HEADS)
def test_a_section_that_its_head_keeps_for_others_says_so_in_one_cell(
    tmp_path: Path, framework: str, head: str
) -> None:
    section = cell(f"%load_ext d2lbook.tab\n{head}") + "# Bandits\n\nText.\n\n" + cell("a = 1")
    cells = convert(framework, tmp_path, section)
    if framework in HEADS[head]:
        assert source(cells, "code") == "a = 1"
        assert source(cells, "markdown") == "# Bandits\n\nText."
    else:
        assert_says_so(cells, "# Bandits")


def assert_says_so(cells: list[dict[str, Any]], title: str) -> None:
    (only,) = cells
    assert only["cell_type"] == "markdown"
    text = "".join(only["source"])
    assert text.startswith(f"{title}\n\nThe book has this section for ")
    assert "only, so there is nothing to run here with " in text
    assert text.endswith("<https://d2l.ai/chapter_builders-guide/use-gpu.html>.")


def test_a_section_without_a_cell_of_the_framework_says_so(tmp_path: Path) -> None:
    section = "# Shops\n\n" + cell("#@tab mxnet\na = 1") + cell("#@tab mxnet,jax\nb = 1")
    cells = convert("pytorch", tmp_path, section)
    assert_says_so(cells, "# Shops")
    assert "for MXNet and JAX only" in source(cells, "markdown")
    assert "with PyTorch." in source(cells, "markdown")


def test_the_first_cell_says_which_packages_a_section_needs(tmp_path: Path) -> None:
    head = '%load_ext d2lbook.tab\ntab.interact_select(["pytorch"])\n'
    head += '#required_libs("wheel==1.0", "bandits[all]==0.2")'
    cells = convert("pytorch", tmp_path, cell(head) + "# Bandits\n\n" + cell("a = 1"))
    assert "".join(cells[0]["source"]).endswith('# %pip install "wheel==1.0" "bandits[all]==0.2"')
    assert source(cells, "code").endswith("\na = 1")


def test_a_gym_that_pip_refuses_is_replaced_by_a_newer_one_that_is_fitted(tmp_path: Path) -> None:
    head = '%load_ext d2lbook.tab\n#required_libs("setuptools==66", "gym==0.21.0")'
    (first,) = convert("pytorch", tmp_path, cell(head))
    code = "".join(first["source"])
    assert '\n# %pip install "gym==0.24.1"\n' in code
    assert "setuptools" not in code
    module = types.ModuleType("gym.envs.toy_text.frozen_lake")
    lake = types.SimpleNamespace(n=16)
    module.FrozenLakeEnv = type("Lake", (), {"observation_space": lake, "action_space": lake})
    packages = {name: types.ModuleType(name) for name in ("gym", "gym.envs", "gym.envs.toy_text")}
    with mock.patch.dict(sys.modules, {**packages, module.__name__: module}):
        exec(code, {})
    assert (module.FrozenLakeEnv().nS, module.FrozenLakeEnv().nA) == (16, 16)


def test_an_argument_that_newer_matplotlib_refuses_is_left_out(tmp_path: Path) -> None:
    code = "stem(x, y, use_line_collection=True)\nstem(x,\n     y,\n     use_line_collection=True)"
    assert source(convert("pytorch", tmp_path, cell(code)), "code") == (
        "stem(x, y)\nstem(x,\n     y)"
    )


def test_the_stand_in_for_tab_is_there_only_where_it_is_asked(tmp_path: Path) -> None:
    head = "%load_ext d2lbook.tab\ntab.interact_select('mxnet', 'pytorch')"
    assert source(convert("mxnet", tmp_path, cell(head) + cell("a = 1")), "code") == "a = 1"


@pytest.mark.parametrize(
    ("framework", "kept"),
    [("mxnet", "Both.\n\nOnly M."), ("pytorch", "Both.\n\nOnly P, unfinished.\n\nOnly P.")],
)
def test_paragraphs_are_their_frameworks_alone(tmp_path: Path, framework: str, kept: str) -> None:
    section = """\
Both.
:label:`sec_both`

:begin_tab:`pytorch`
Only P, unfinished.

:begin_tab:`mxnet` \nOnly M.
:end_tab:

:begin_tab:`pytorch,tensorflow` \nOnly P.
:end_tab:

:begin_tab:`jax`
Only J.
:end_tab:
"""
    assert source(convert(framework, tmp_path, section), "markdown") == kept


def test_labels_of_equations_are_gone(tmp_path: Path) -> None:
    section = "$$a = b.$$\n:eqlabel:`eq_ab`\n\n$$c,$$ :eqlabel:`eq_c`\n\n:bibliography:`a.bib`\n"
    assert source(convert("mxnet", tmp_path, section), "markdown") == "$$a = b.$$\n\n$$c,$$"


def test_fails_when_the_source_is_not_the_book(tmp_path: Path) -> None:
    done = run("mxnet", tmp_path, tmp_path / "book")
    assert done.returncode == 1
    assert "is it the source of the book?" in done.stderr
