import ast
import subprocess
from pathlib import Path

import pytest

from gpustation.synth.stripped_source import squeeze_python, strip_bash, strip_python

BOOTSTRAP = Path(__file__).parents[2] / "userdata/bootstrap"
AGENT = (BOOTSTRAP / "agent.py").read_text()
SCRIPT = (BOOTSTRAP / "bootstrap.sh").read_text()

PYTHON = '''\
"""Docstring."""

LIMIT: int = 3  # of what


class Fault(Exception):
    """Only a docstring."""


def plain(text: str, *rest: int, end: dict[str, int] | None = None, **more: str) -> list[str]:
    """Docstring
    over lines."""
    # a comment
    there = "# no comment, -> no annotation: str"

    def inner() -> None:
        return None

    return [there, f"{text!r}  # {LIMIT}"]  # the end
'''
STRIPPED = """\
LIMIT = 3
class Fault(Exception):
 pass
def plain(text, *rest, end = None, **more):
 there = "# no comment, -> no annotation: str"
 def inner():
  return None
 return [there, f"{text!r}  # {LIMIT}"]
"""


class Bare(ast.NodeTransformer):
    """Takes docstrings and annotations out of a syntax tree."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                node.body = body[1:] or [ast.Pass()]  # type: ignore[attr-defined]
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None and not isinstance(node, ast.AnnAssign):
                setattr(node, name, None)
        if isinstance(node, ast.AnnAssign) and node.value:
            return ast.Assign([node.target], node.value, lineno=node.lineno)
        return node


def test_only_what_readers_need_is_cut() -> None:
    assert strip_python(PYTHON) == STRIPPED


def test_agent_is_the_same_program() -> None:
    stripped = strip_python(AGENT)
    assert ast.dump(ast.parse(stripped)) == ast.dump(Bare().visit(ast.parse(AGENT)))
    assert not [line for line in stripped.splitlines() if not line or line.lstrip()[0] == "#"]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('text = """a\n\n    b"""\n', "line 1: a string that spans several lines"),
        ("def f(\n    a: dict[\n        str, int\n    ],\n):\n    pass\n", "line 2: an annotation"),
        ("text = 'ä'\n", "only ASCII"),
    ],
)
def test_python_that_the_cuts_would_damage_is_refused(source: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        strip_python(source)


BASH = """\
# comment
set -e

cat >file <<EOF
# of the file

EOF
  # comment
sh -c '
# of the string
'
echo "$#" # stays
"""


def test_here_documents_and_strings_stay_whole() -> None:
    kept = strip_bash(BASH)
    assert kept == BASH.replace("# comment\nset", "set").replace("-e\n\n", "-e\n").replace(
        "  # comment\n", ""
    )


@pytest.mark.parametrize(("script", "end"), [("cat <<EOF\n", "EOF"), ("echo '\n", "quote")])
def test_bash_without_an_end_is_refused(script: str, end: str) -> None:
    with pytest.raises(ValueError, match=f"does not terminate .*{end}"):
        strip_bash(script)


def test_bootstrap_is_the_same_program() -> None:
    """bash itself prints both, as a function, without comments and blank lines."""
    printed = [
        subprocess.run(
            ["bash", "-c", f"whole() {{\n{text}\n}}\ndeclare -f whole"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for text in (SCRIPT, strip_bash(SCRIPT))
    ]
    assert len(printed[0].splitlines()) > 40
    assert printed[0] == printed[1]


SQUEEZED = """\
LIMIT=3
class Fault(Exception):
 pass
def plain(text,*rest,end=None,**more):
 there="# no comment, -> no annotation: str"
 def inner():
  return None
 return[there,f"{text!r}  # {LIMIT}"]
"""


def test_only_blanks_that_no_word_needs_are_squeezed_out() -> None:
    assert squeeze_python(STRIPPED) == SQUEEZED


@pytest.mark.parametrize(
    "source",
    [
        'a = b if "c" in d else e\n',
        "x = 1 if y else 0x2 or z\n",
        'a = "b" "c"\n',
        "a = not b\n",
        "a = - -b + +c\n",
        'a = f"{b + c} {d}" + f"{e :>{ f }}"\n',
        "a = [\n    b,\n    c\n]\n",
        "a = b\\\n    + c\n",
    ],
)
def test_squeezed_program_is_the_same(source: str) -> None:
    assert ast.dump(ast.parse(squeeze_python(source))) == ast.dump(ast.parse(source))


def test_fails_when_a_blank_keeps_two_tokens_apart_that_are_no_words() -> None:
    with pytest.raises(SyntaxError):
        squeeze_python("a = 1 .real\n")


def test_agent_is_the_same_program_without_its_blanks() -> None:
    stripped = strip_python(AGENT)
    squeezed = squeeze_python(stripped)
    assert len(squeezed) < len(stripped)
    bare = ast.parse(stripped)
    # What annotations alone need
    bare.body = [each for each in bare.body if not _is_for_annotations(each)]
    assert _without_imports(ast.parse(squeezed)) == _without_imports(bare)
    assert _imported(ast.parse(squeezed)) == _imported(bare)


def _is_for_annotations(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module in ("__future__", "typing")


def _without_imports(tree: ast.Module) -> list[str]:
    return [ast.dump(node) for node in tree.body if not isinstance(node, ast.Import)]


def _imported(tree: ast.Module) -> list[str]:
    return [each.name for node in tree.body if isinstance(node, ast.Import) for each in node.names]
