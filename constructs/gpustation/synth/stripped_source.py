"""Minifies Python and bash sources for the user data, whose size EC2 limits to 16 KiB.

Text is cut out of the source instead of unparsing its syntax tree, so that every version of Python
produces the same bytes. Sources that the cuts could damage are rejected.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import types
from collections.abc import Iterator

_LAYOUT = (tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
_FOR_ANNOTATIONS = ("from __future__ import annotations\n", "from typing import Any\n")
_IMPORTS = re.compile(r"^(?:import \w+\n)+", re.MULTILINE)
_FSTRING_START = getattr(tokenize, "FSTRING_START", -1)
_FSTRING_END = getattr(tokenize, "FSTRING_END", -2)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


def strip_python(source: str) -> str:
    """A program without docstrings, comments, annotations and blank lines, indented by one column.

    Args:
        source: ASCII, indented by four columns. No other code may be on the lines of a docstring.

    Raises:
        ValueError: It is not ASCII, or an annotation or a string spans several lines.
        SyntaxError: It is not valid Python.
    """
    if not source.isascii():
        raise ValueError("only ASCII can be stripped, as columns are counted in bytes")
    lines = source.splitlines()
    tree = ast.parse(source)
    bodies = [*_bodies(tree)]
    starts = [body[0] for body in bodies if body and _is_docstring(body[0])]
    docstrings = {number for node in starts for number in _lines(node)}
    # Line, first and last column; cut from right to left, so that columns remain valid
    for number, begin, end in sorted({*_comments(source, docstrings), *_annotations(tree)})[::-1]:
        lines[number - 1] = lines[number - 1][:begin] + lines[number - 1][end:]
    for number in docstrings:
        lines[number - 1] = ""
    for body in bodies:
        if len(body) == 1 and _is_docstring(body[0]):
            lines[body[0].lineno - 1] = " " * body[0].col_offset + "pass"
    kept = (line.rstrip() for line in lines)
    return "".join(f"{_outdent(line)}\n" for line in kept if line)


def squeeze_python(source: str) -> str:
    """The same program without optional blanks and without imports that only annotations use.

    Args:
        source: Output of ``strip_python``: ASCII, without comments and annotations.

    Raises:
        ValueError: The result would be a different program.
        SyntaxError: The result would be invalid.
    """
    for unused in _FOR_ANNOTATIONS:
        source = source.replace(unused, "", 1)
    source = _IMPORTS.sub(
        lambda match: "import " + ", ".join(match[0].split()[1::2]) + "\n", source
    )
    lines = source.splitlines()
    ends = [0] * len(lines)
    # Line, first and last column of the blanks between two tokens
    cuts: list[tuple[int, int, int]] = []
    inside = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (line, begin), (last, end) = token.start, token.end
        if token.type in _LAYOUT:
            continue
        blanks = slice(ends[line - 1], begin)
        around = lines[line - 1][: blanks.start][-1:] + lines[line - 1][begin : begin + 1]
        # Since Python 3.12 the parts of an f-string are tokens, before that the whole is one
        if not inside and blanks.start and not (_is_word(around[0]) and _is_word(around[-1])):
            cuts.append((line, blanks.start, begin))
        inside += {_FSTRING_START: 1, _FSTRING_END: -1}.get(token.type, 0)
        ends[last - 1] = end
    for line, begin, end in reversed(cuts):
        lines[line - 1] = lines[line - 1][:begin] + lines[line - 1][end:]
    squeezed = "".join(f"{line}\n" for line in lines)
    if _program(squeezed) != _program(source):
        raise ValueError("without these blanks it would be a different program")
    return squeezed


def _program(source: str) -> object:
    """The bytecode of a program without line numbers; several times as fast as ``ast.dump``."""
    return _instructions(compile(source, "", "exec"))


def _instructions(code: types.CodeType) -> object:
    constants = [
        _instructions(constant) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    ]
    # repr, as equal constants may differ in type, such as 1 and True
    return code.co_code, repr(constants), code.co_names, code.co_varnames, code.co_freevars


def _is_word(char: str) -> bool:
    """Whether a blank between two such characters must be kept: names, numbers, strings."""
    return char.isalnum() or char in "_'\""


def strip_bash(source: str) -> str:
    """A script without blank lines and comment lines, except in here-documents and strings.

    Args:
        source: It must not contain a single quote inside double quotes, as quotes are counted.

    Raises:
        ValueError: A here-document or a string in single quotes is not terminated.
    """
    kept = []
    end_of_heredoc = ""
    in_quotes = False
    for line in source.splitlines():
        if end_of_heredoc:
            kept.append(line)
            if line == end_of_heredoc:
                end_of_heredoc = ""
            continue
        if not in_quotes and (not line.strip() or line.lstrip().startswith("#")):
            continue
        kept.append(line)
        in_quotes ^= line.count("'") % 2 == 1
        heredoc = _HEREDOC.search(line)
        if heredoc and not in_quotes:
            in_quotes, end_of_heredoc = False, heredoc[2]
    if end_of_heredoc or in_quotes:
        raise ValueError(f"the script does not terminate {end_of_heredoc or 'a single quote'}")
    return "".join(f"{line}\n" for line in kept)


def _outdent(line: str) -> str:
    text = line.lstrip(" ")
    return " " * ((len(line) - len(text)) // 4) + text


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _bodies(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield node.body


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _comments(source: str, docstrings: set[int]) -> Iterator[tuple[int, int, int]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line, column = token.start
        if token.type == tokenize.COMMENT:
            yield line, column, token.end[1]
        elif token.end[0] > line and line not in docstrings:
            raise ValueError(f"line {line}: a string that spans several lines cannot be stripped")


def _annotations(tree: ast.Module) -> Iterator[tuple[int, int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            yield _span(node.annotation, node.lineno, node.col_offset + len(node.arg))
        elif isinstance(node, ast.FunctionDef) and node.returns:
            arrow = len(" -> ")
            yield _span(node.returns, node.returns.lineno, node.returns.col_offset - arrow)
        elif isinstance(node, ast.AnnAssign) and node.value:
            yield _span(node.annotation, node.lineno, node.target.end_col_offset or 0)


def _span(annotation: ast.expr, line: int, begin: int) -> tuple[int, int, int]:
    if (annotation.lineno, annotation.end_lineno) != (line, line):
        raise ValueError(f"line {line}: an annotation that spans several lines cannot be stripped")
    return line, begin, annotation.end_col_offset or begin
