"""Makes notebooks of one framework from the Markdown sources of Dive into Deep Learning.

The book keeps all frameworks in one file: code cells start with ``%%tab mxnet, pytorch`` or
``#@tab mxnet, pytorch``, paragraphs stand between ``:begin_tab:`` and ``:end_tab:``. What belongs
to other frameworks is left out, and the marks of the book's own builder are taken out of the text.
A section that the book does not have for the framework becomes a notebook of one cell that says so:
its place in the book stays, and nothing in it fails.

Usage: convert_book.py FRAMEWORK SOURCE TARGET
"""

import json
import re
import shutil
import sys
from pathlib import Path

CODE = re.compile(r"^```\{\.python \.input[^}]*\}\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
#: Says for whom a code cell is: ``%%tab mxnet, pytorch``, ``# %%tab jax`` or ``#@tab all``.
MARK = re.compile(r"^[ \t]*(?:%%|#[ \t]*(?:@|%%))tab[ \t]+([\w, \t]+)(?:\n|\Z)", re.MULTILINE)
#: The book forgets an end; there the next beginning is one.
TAB = re.compile(
    r"^:begin_tab:`([^`]*)`\s*?\n(.*?)(?:^:end_tab:[ \t]*$|(?=^:begin_tab:))",
    re.MULTILINE | re.DOTALL,
)
#: The head of a section: for which frameworks the book has it, and which packages it needs.
FRAMEWORKS = re.compile(r"\binteract_select\(([^)]*)\)")
PACKAGES = re.compile(r"^#[ \t]*required_libs\((.*)\)", re.MULTILINE)
STRING = re.compile(r"""["']([^"']+)["']""")
#: Labels and page-layout commands, which say nothing to a reader of the notebook.
LAYOUT = re.compile(
    r"^:(?:(?:eq)?label|width|height|bibliography):`[^`]*`[ \t]*\n?|:(?:eq)?label:`[^`]*`",
    re.MULTILINE,
)
REFERENCE = re.compile(r":(?:numref|eqref|ref|cite|citet|cite\.\w+):`([^`]*)`")
#: Said what matplotlib does anyway since 3.3, and is refused since 3.8.
SUPERFLUOUS = re.compile(r",\s*use_line_collection=True")
#: Marks that the builder uses to make slides: [**...**], (**...**), [~~...~~], (~~...~~).
SLIDE = re.compile(r"[\[(](\*\*|~~)(.+?)\1[\])]", re.DOTALL)
TITLE = re.compile(r"^# .*$", re.MULTILINE)
#: pip installs this no more since 24.1 (and its builder not since Python 3.12); the newer
#: is the last with the interface that the book calls, but for two names.
OLD_GYM, NEW_GYM = "gym==0.21.0", "gym==0.24.1"
FIT_GYM = f"""

# The book asks for {OLD_GYM}, which pip does not install any more; this fits the newer one to it.
from gym.envs.toy_text.frozen_lake import FrozenLakeEnv

FrozenLakeEnv.nS = property(lambda lake: lake.observation_space.n)
FrozenLakeEnv.nA = property(lambda lake: lake.action_space.n)"""
NAMES = {"mxnet": "MXNet", "pytorch": "PyTorch", "tensorflow": "TensorFlow", "jax": "JAX"}
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
    """Return the code cell, or nothing if it is another framework's or only the builder's."""
    if is_head(code):
        code = packages_to_install(code)
    # As for the book's own builder, the first mark counts and the others say nothing
    elif (mark := MARK.search(code)) and not wanted(mark[1], framework):
        return None
    code = SUPERFLUOUS.sub("", MARK.sub("", code)).strip("\n")
    return source_cell(code) if code else None


def source_cell(code: str) -> dict[str, object]:
    """Return a code cell that nobody has run yet."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": code.splitlines(keepends=True),
    }


def is_head(code: str) -> bool:
    """Tell whether a cell is the one that chooses a framework in the book's builder."""
    return "d2lbook.tab" in code


def packages_to_install(head: str) -> str:
    """Return the code that tells the reader which packages a section needs, empty if none."""
    needed = [name for listed in PACKAGES.findall(head) for name in STRING.findall(listed)]
    if not needed:
        return ""
    gym = OLD_GYM in needed
    if gym:
        needed = [NEW_GYM]  # the others would build the old one
    quoted = " ".join(f'"{name}"' for name in needed)
    return (
        "# This section needs packages that are not installed. To install them, remove the # from\n"
        "# the next line, run this cell, and restart the kernel.\n"
        f"# %pip install {quoted}{FIT_GYM if gym else ''}"
    )


def others(codes: list[str], framework: str) -> list[str]:
    """Return the frameworks that a section is for, if it is not for this one; else nothing.

    The section's head lists them, or all of its cells are marked for others.
    """
    listed = [found[1] for code in codes if is_head(code) and (found := FRAMEWORKS.search(code))]
    names = [name for names in listed for name in STRING.findall(names)]
    if names and framework not in names:
        return names
    marks = [MARK.search(code) for code in codes if not is_head(code)]
    tabs = [mark[1] if mark else "all" for mark in marks]
    if any(wanted(tab, framework) for tab in tabs):
        return []
    # Not a set: the order is the book's
    return [*dict.fromkeys(name.strip() for tab in tabs for name in tab.split(","))]


def not_for(framework: str, owners: list[str], texts: list[str], page: str) -> dict[str, object]:
    """Return the cell that says for which frameworks the book has a section, under its title."""
    title = TITLE.search("".join(texts))
    shown = " and ".join(NAMES.get(name, name) for name in owners)
    text = (
        f"{title[0] if title else '# ' + page}\n\n"
        f"The book has this section for {shown} only, so there is nothing to run here with "
        f"{NAMES.get(framework, framework)}. Read it at <https://d2l.ai/{page}.html>."
    )
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def notebook(markdown: str, framework: str, page: str) -> dict[str, object]:
    """Return one section of the book, its page on the book's site, as a notebook (nbformat 4)."""
    # An odd number of groups: text and code take turns, beginning and ending with text.
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
    """Convert all chapters and take the pictures along."""
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
