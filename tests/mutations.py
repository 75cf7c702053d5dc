"""Whether the tests notice: ``python -m tests.mutations --seed 12 --count 60``.

Draws places in what is deployed and in what runs on the machine, changes one at a time in a copy
of the tree, and runs the tests until one fails. Nobody chooses the places: a seed draws them from
all of them. What survives is either worth nothing, or worth a test.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("constructs", "stacks", "userdata", "ci")
STAGES = (
    ("quick", ("unit", "infra", "snapshot")),
    ("test", ("userdata", "leftovers")),
    ("test", ("faults",)),
    ("test", ("cli", "e2e", "infra", "unit")),
    ("test", ("boot",)),
)
"""Tier and suites, cheap ones first, where most mutations end; together they are `make test`."""
COMPARISONS = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
IN_BASH = (
    (re.compile(r" == "), " != "),
    (re.compile(r" != "), " == "),
    (re.compile(r" && "), " || "),
    (re.compile(r" \|\| "), " && "),
    (re.compile(r"(?<=\[\[ )! "), ""),
    (re.compile(r"(?<=\bif )! "), ""),
    (re.compile(r" < "), " <= "),
    (re.compile(r" > "), " >= "),
    (re.compile(r"\[\[ -z "), "[[ -n "),
    (re.compile(r"\[\[ -n "), "[[ -z "),
    (re.compile(r"\[\[ -e "), "[[ ! -e "),
)
COMMAND = re.compile(r"^\s+[a-z_\"$][^()={]*$")
"""A line in a function or block that is a command by itself."""
NO_COMMAND = re.compile(
    r"^\s*(if|then|else|elif|fi|for|while|until|do|done|case|esac|local|return)\b"
)


@dataclass(frozen=True)
class Mutation:
    """One change of one file.

    Attributes:
        path: The file, from the tree's root.
        start: Where the change begins, in characters.
        end: Where it ends.
        text: What stands there then.
    """

    path: str
    start: int
    end: int
    text: str

    def apply(self, tree: Path) -> str:
        """Write it into a tree; returns what the file was."""
        file = tree / self.path
        before = file.read_text()
        file.write_text(before[: self.start] + self.text + before[self.end :])
        return before

    def __str__(self) -> str:
        """File, line, and what became of what."""
        before = (ROOT / self.path).read_text()
        line = before.count("\n", 0, self.start) + 1
        old = before[self.start : self.end]
        return f"{self.path}:{line}: {old.strip()!r} -> {self.text.strip()!r}"


def all_mutations() -> list[Mutation]:
    """Every change that could be drawn, in a fixed order."""
    found = []
    for path in _files():
        text = (ROOT / path).read_text()
        make = _in_python if path.endswith(".py") else _in_bash
        found += [Mutation(path, *change) for change in make(text) if _differs(text, *change)]
    return found


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *FOLDERS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [
        path
        for path in sorted(listed.stdout.split())
        if path.endswith((".py", ".sh")) or (ROOT / path).read_bytes()[:2] == b"#!"
    ]


def _differs(text: str, start: int, end: int, new: str) -> bool:
    return text[start:end] != new


def _in_python(text: str) -> Iterator[tuple[int, int, str]]:
    """Comparisons, and/or, not, numbers, truth values, texts, calls for their effect, returns."""
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def at(line: int, column: int) -> int:
        begin = lines[line - 1]
        return begin + len(text[begin:].encode()[:column].decode())

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset)

    tree = ast.parse(text)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    # Texts that stand by themselves document, in f-strings and annotations others see to them
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
            first, second = span(node.left)[1], span(node.comparators[0])[0]
            yield first, second, f" {COMPARISONS[type(node.ops[0])]} "
        elif isinstance(node, ast.BoolOp):
            first, second = span(node.values[0])[1], span(node.values[1])[0]
            word = "or" if isinstance(node.op, ast.And) else "and"
            if "(" not in text[first:second] and ")" not in text[first:second]:
                yield first, second, f" {word} "
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield span(node)[0], span(node.operand)[0], ""
        elif isinstance(node, ast.Constant) and id(node) not in docstrings | loose | inside:
            if isinstance(node.value, bool):
                yield (*span(node), str(not node.value))
            elif isinstance(node.value, int):
                yield (*span(node), str(node.value + 1))
            elif isinstance(node.value, str) and node.value:
                yield (*span(node), repr(f"XX{node.value}"))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield (*span(node), "pass")
        elif isinstance(node, ast.Return) and node.value is not None:
            yield (*span(node), "return None")


def _in_bash(text: str) -> Iterator[tuple[int, int, str]]:
    """Tests and joints of commands, and commands left out."""
    start = 0
    for line in text.splitlines(keepends=True):
        if not line.lstrip().startswith("#"):
            for pattern, new in IN_BASH:
                for match in pattern.finditer(line):
                    yield start + match.start(), start + match.end(), new
            whole = line.rstrip("\n")
            if COMMAND.match(whole) and not NO_COMMAND.match(whole) and not whole.endswith("\\"):
                yield start, start + len(whole), f"{whole[: len(whole) - len(whole.lstrip())]}:"
        start += len(line)


def copy_tree(tree: Path) -> None:
    """The tree as it is committed, and what `make setup` made."""
    subprocess.run(["git", "clone", "--quiet", ROOT, tree], check=True)
    for name in (".venv", "node_modules"):
        (tree / name).symlink_to(ROOT / name)


def environment(tree: Path) -> dict[str, str]:
    """The variables with which the tests of a tree run, and its own code."""
    return {
        **os.environ,
        "PATH": f"{ROOT}/.venv/bin:{ROOT}/node_modules/.bin:{os.environ['PATH']}",
        "PYTHONPATH": f"{tree}/constructs:{tree}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
    }


def _caught_by(tree: Path, path: str, stages: int) -> str | None:
    """The first test that fails for a change of a file, or None."""
    first = int(path.startswith("userdata/"))
    for tier, suites in (STAGES[first], *STAGES[:first], *STAGES[first + 1 :])[:stages]:
        command = [sys.executable, "-m", "pytest", "-n", "auto", "-x", "-q", "--tier", tier]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *(f"tests/{suite}" for suite in suites)],
            cwd=tree,
            env=environment(tree),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
            return failed[0] if failed else done.stdout.strip().splitlines()[-1]
    return None


def main() -> int:
    """Print each mutation with the test that caught it; status 1 where any survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="go on at this one")
    parser.add_argument("--stages", type=int, default=len(STAGES), help="how many of the suites")
    parser.add_argument("--only", type=int, nargs="*", help="of those drawn, these alone")
    parser.add_argument("--list", action="store_true", help="draw and run nothing")
    told = parser.parse_args()
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *FOLDERS], cwd=ROOT).returncode:
        parser.error(f"{', '.join(FOLDERS)} differ from what is committed; commit or stash first")
    everything = all_mutations()
    drawn = random.Random(told.seed).sample(everything, told.count)
    print(f"seed {told.seed}: {told.count} of {len(everything)}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mutations-"))
    survived = 0
    try:
        tree = folder / "tree"
        if not told.list:
            copy_tree(tree)
        for number, mutation in enumerate(drawn):
            if number < told.first or (told.only and number not in told.only):
                continue
            if told.list:
                print(number, mutation)
                continue
            began = time.monotonic()
            before = mutation.apply(tree)
            caught = _caught_by(tree, mutation.path, told.stages)
            (tree / mutation.path).write_text(before)
            survived += caught is None
            seconds = time.monotonic() - began
            print(f"{number}\t{caught or 'SURVIVED'}\t{seconds:.0f} s\t{mutation}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
