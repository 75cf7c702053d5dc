"""Converts the Markdown sources of Dive into Deep Learning to notebooks for one framework.

Each file of the book has the code of all frameworks: code cells start with ``%%tab mxnet, pytorch``
or ``#@tab mxnet, pytorch``, and paragraphs are between ``:begin_tab:`` and ``:end_tab:``. Cells of
other frameworks and the marks of the book's own builder are removed. A section that the book does
not have for the framework becomes a notebook of one cell that says so, so that the order of the
book is kept and nothing fails.

Usage: convert_book.py FRAMEWORK SOURCE TARGET
"""

import json
import re
import shutil
import sys
from pathlib import Path

CODE = re.compile(r"^```\{\.python \.input[^}]*\}\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
#: The frameworks of a code cell: ``%%tab mxnet, pytorch``, ``# %%tab jax`` or ``#@tab all``.
MARK = re.compile(r"^[ \t]*(?:%%|#[ \t]*(?:@|%%))tab[ \t]+([\w, \t]+)(?:\n|\Z)", re.MULTILINE)
#: Some ends are missing in the book; the next beginning counts as the end.
TAB = re.compile(
    r"^:begin_tab:`([^`]*)`\s*?\n(.*?)(?:^:end_tab:[ \t]*$|(?=^:begin_tab:))",
    re.MULTILINE | re.DOTALL,
)
#: In the first cell of a section: the frameworks that it exists for, and the packages it needs.
FRAMEWORKS = re.compile(r"\binteract_select\(([^)]*)\)")
PACKAGES = re.compile(r"^#[ \t]*required_libs\((.*)\)", re.MULTILINE)
STRING = re.compile(r"""["']([^"']+)["']""")
#: Labels and layout commands, which have no meaning in a notebook.
LAYOUT = re.compile(
    r"^:(?:(?:eq)?label|width|height|bibliography):`[^`]*`[ \t]*\n?|:(?:eq)?label:`[^`]*`",
    re.MULTILINE,
)
REFERENCE = re.compile(r":(?:numref|eqref|ref|cite|citet|cite\.\w+):`([^`]*)`")
#: The default since matplotlib 3.3, and an error since 3.8.
SUPERFLUOUS = re.compile(r",\s*use_line_collection=True")
#: Marks from which the builder makes slides: [**...**], (**...**), [~~...~~], (~~...~~).
SLIDE = re.compile(r"[\[(](\*\*|~~)(.+?)\1[\])]", re.DOTALL)
TITLE = re.compile(r"^# .*$", re.MULTILINE)
#: The old version cannot be installed since pip 24.1 and Python 3.12. The newer one is the last
#: with the interface that the book uses, except for two names.
OLD_GYM, NEW_GYM = "gym==0.21.0", "gym==0.24.1"
FIT_GYM = f"""

# The book asks for {OLD_GYM}, which pip does not install any more; this fits the newer one to it.
from gym.envs.toy_text.frozen_lake import FrozenLakeEnv

FrozenLakeEnv.nS = property(lambda lake: lake.observation_space.n)
FrozenLakeEnv.nA = property(lambda lake: lake.action_space.n)"""
NAMES = {"mxnet": "MXNet", "pytorch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}
#: Source of an object like the builder's ``tab``: cells for all frameworks call it to learn which
#: framework is selected.
TAB_OBJECT = """\
class tab:
    \"\"\"Stands in for the book builder's own: tells shared cells which framework this is.\"\"\"

    @staticmethod
    def selected(*names):
        lists = [[name] if isinstance(name, str) else name for name in names]
        return any({framework!r} in names for names in lists)
"""


def wanted(tabs: str, framework: str) -> bool:
    """Return whether a cell or paragraph for `tabs` belongs to the framework."""
    names = [name.strip() for name in tabs.split(",")]
    return framework in names or "all" in names


def text_cell(text: str, framework: str) -> dict[str, object] | None:
    """Return the Markdown cell of a part of the text; None if it is empty."""
    text = TAB.sub(lambda tab: tab[2] if wanted(tab[1], framework) else "", text)
    text = SLIDE.sub(r"\2", REFERENCE.sub(r"`\1`", LAYOUT.sub("", text)))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    if not text:
        return None
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code_cell(code: str, framework: str) -> dict[str, object] | None:
    """Return the code cell; None if it is for another framework or only for the builder."""
    if is_head(code):
        code = packages_to_install(code)
    # The book's own builder uses only the first mark, too
    elif (mark := MARK.search(code)) and not wanted(mark[1], framework):
        return None
    code = SUPERFLUOUS.sub("", MARK.sub("", code)).strip("\n")
    return source_cell(code) if code else None


def source_cell(code: str) -> dict[str, object]:
    """Return a code cell without outputs."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": code.splitlines(keepends=True),
    }


def is_head(code: str) -> bool:
    """Return whether a cell is the first of a section, which selects a framework in the builder."""
    return "d2lbook.tab" in code


def packages_to_install(head: str) -> str:
    """Return the code with which the reader installs the section's packages; empty if none."""
    needed = [name for listed in PACKAGES.findall(head) for name in STRING.findall(listed)]
    if not needed:
        return ""
    gym = OLD_GYM in needed
    if gym:
        needed = [NEW_GYM]  # the other packages need the old one
    quoted = " ".join(f'"{name}"' for name in needed)
    return (
        "# This section needs packages that are not installed. To install them, remove the # from\n"
        "# the next line, run this cell, and restart the kernel.\n"
        f"# %pip install {quoted}{FIT_GYM if gym else ''}"
    )


def others(codes: list[str], framework: str) -> list[str]:
    """Return the frameworks of a section; empty if this one is among them.

    They are listed in the section's first cell, or all of its cells are marked for others.
    """
    listed = [match[1] for code in codes if is_head(code) and (match := FRAMEWORKS.search(code))]
    names = [name for names in listed for name in STRING.findall(names)]
    if names and framework not in names:
        return names
    marks = [MARK.search(code) for code in codes if not is_head(code)]
    tabs = [mark[1] if mark else "all" for mark in marks]
    if any(wanted(tab, framework) for tab in tabs):
        return []
    # Not a set, to keep the order of the book
    return [*dict.fromkeys(name.strip() for tab in tabs for name in tab.split(","))]


def not_for(framework: str, owners: list[str], texts: list[str], page: str) -> dict[str, object]:
    """Return a cell with the section's title and the frameworks that the book has it for."""
    title = TITLE.search("".join(texts))
    shown = " and ".join(NAMES.get(name, name) for name in owners)
    text = (
        f"{title[0] if title else '# ' + page}\n\n"
        f"The book has this section for {shown} only, so there is nothing to run here with "
        f"{NAMES.get(framework, framework)}. Read it at <https://d2l.ai/{page}.html>."
    )
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def notebook(markdown: str, framework: str, page: str) -> dict[str, object]:
    """Return a section as a notebook (nbformat 4); `page` is its path on the book's site."""
    # Text and code alternate; the first and the last part are text.
    parts = CODE.split(markdown)
    owners = others(parts[1::2], framework)
    if owners:
        cells: list[dict[str, object] | None] = [not_for(framework, owners, parts[::2], page)]
    else:
        makers = (text_cell, code_cell)
        cells = [makers[index % 2](part, framework) for index, part in enumerate(parts)]
        if "tab.selected" in markdown:
            cells.insert(0, source_cell(TAB_OBJECT.format(framework=framework).strip("\n")))
    kernel = {"name": framework, "display_name": framework, "language": "python"}
    return {
        "cells": [cell for cell in cells if cell],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def main() -> None:
    """Convert all chapters and copy the pictures."""
    framework, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    sections = sorted(source.glob("chapter_*/*.md"))
    if not sections:
        sys.exit(f"{source} has no chapter_*/*.md; is it the source of the book?")
    for section in sections:
        page = section.relative_to(source).with_suffix("")
        path = target / page.with_suffix(".ipynb")
        path.parent.mkdir(parents=True, exist_ok=True)
        made = notebook(section.read_text(encoding="utf-8"), framework, page.as_posix())
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if (source / "img").is_dir():
        shutil.copytree(source / "img", target / "img")
    print(f"{len(sections)} notebooks of Dive into Deep Learning for {framework}")


if __name__ == "__main__":
    main()
