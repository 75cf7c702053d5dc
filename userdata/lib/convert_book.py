"""Makes notebooks of one framework from the Markdown sources of Dive into Deep Learning.

The book keeps all frameworks in one file: code cells start with ``%%tab mxnet, pytorch``,
paragraphs stand between ``:begin_tab:`` and ``:end_tab:``. What belongs to other frameworks is
left out, and the marks of the book's own builder are taken out of the text.

Usage: convert_book.py FRAMEWORK SOURCE TARGET
"""

import json
import re
import shutil
import sys
from pathlib import Path

CODE = re.compile(r"^```\{\.python \.input[^}]*\}\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
TAB = re.compile(r"^:begin_tab:`([^`]*)`\s*?\n(.*?)^:end_tab:[ \t]*$", re.MULTILINE | re.DOTALL)
#: Labels and page-layout commands, which say nothing to a reader of the notebook.
LAYOUT = re.compile(r"^:(label|width|height):`[^`]*`[ \t]*\n?|:label:`[^`]*`", re.MULTILINE)
REFERENCE = re.compile(r":(?:numref|eqref|ref|cite|citet|cite\.\w+):`([^`]*)`")
#: Marks that the builder uses to make slides: [**...**], (**...**), [~~...~~], (~~...~~).
SLIDE = re.compile(r"[\[(](\*\*|~~)(.+?)\1[\])]", re.DOTALL)
#: Sources of the builder's ``tab``: cells for all frameworks ask it which one is read.
TAB_OBJECT = """\
class tab:
    \"\"\"Stands in for the book builder's own: tells shared cells which framework this is.\"\"\"

    @staticmethod
    def selected(*names):
        lists = [[name] if isinstance(name, str) else name for name in names]
        return any({framework!r} in names for names in lists)
"""


def wanted(tabs: str, framework: str) -> bool:
    """Tell whether a cell or paragraph for `tabs` belongs to the framework."""
    names = [name.strip() for name in tabs.split(",")]
    return framework in names or "all" in names


def text_cell(text: str, framework: str) -> dict[str, object] | None:
    """Return the Markdown cell of a stretch of text, or nothing if it is empty."""
    text = TAB.sub(lambda tab: tab[2] if wanted(tab[1], framework) else "", text)
    text = SLIDE.sub(r"\2", REFERENCE.sub(r"`\1`", LAYOUT.sub("", text)))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    if not text:
        return None
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code_cell(code: str, framework: str) -> dict[str, object] | None:
    """Return the code cell, or nothing if it is another framework's."""
    if "d2lbook.tab" in code:
        code = TAB_OBJECT.format(framework=framework)
    first, _, rest = code.partition("\n")
    if first.startswith("%%tab "):
        if not wanted(first[len("%%tab ") :], framework):
            return None
        code = rest
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": code.strip("\n").splitlines(keepends=True),
    }


def notebook(markdown: str, framework: str) -> dict[str, object]:
    """Return one section of the book as a notebook (nbformat 4)."""
    # An odd number of groups: text and code take turns, beginning and ending with text.
    parts = CODE.split(markdown)
    makers = (text_cell, code_cell)
    cells = [makers[index % 2](part, framework) for index, part in enumerate(parts)]
    kernel = {"name": framework, "display_name": framework, "language": "python"}
    return {
        "cells": [cell for cell in cells if cell],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def main() -> None:
    """Convert all chapters and take the pictures along."""
    framework, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    sections = sorted(source.glob("chapter_*/*.md"))
    if not sections:
        sys.exit(f"{source} has no chapter_*/*.md; is it the source of the book?")
    for section in sections:
        path = target / section.relative_to(source).with_suffix(".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        made = notebook(section.read_text(encoding="utf-8"), framework)
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if (source / "img").is_dir():
        shutil.copytree(source / "img", target / "img")
    print(f"{len(sections)} notebooks of Dive into Deep Learning for {framework}")


if __name__ == "__main__":
    main()
