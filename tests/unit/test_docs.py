"""Links and commands of README.md and docs/: what they name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gpustation.cli.app import main
from gpustation.settings.model import rows

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TODAY = [page for page in PAGES if page.parent.name != "proven"]
"""Without the pages of acceptance runs, which quote what was true on their day."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`|^ {4}(\S[^\n]*)", re.MULTILINE)
NOT_NAMES = ("--help", "...")


def anchors(page: Path) -> set[str]:
    """The anchors of its headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def codes(page: Path) -> list[str]:
    """Every piece of code in a page, without what a shell ignores."""
    found = [inline or block for inline, block in CODE.findall(page.read_text())]
    return [re.sub(r"\s+# .*", "", code).strip() for code in found]


def commands(program: str) -> list[object]:
    """Every command of a program in all pages, with the page's name."""
    found = {
        (page.name, code)
        for page in TODAY
        for code in codes(page)
        if code == program or code.startswith(f"{program} ")
    }
    return [pytest.param(code, id=f"{name}: {code}") for name, code in sorted(found)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("command", commands("make"))
def test_every_target_of_make_is_there(command: str) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for word in shlex.split(command.split("&&")[0], comments=True)[1:]:
        if re.fullmatch(r"[a-z-]+", word):
            assert word in targets


@pytest.mark.parametrize("command", commands("gpustation"))
def test_every_verb_and_option_is_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.replace("[", "").replace("]", "").replace("...", ""))[1:]
    verb = []
    for word in words:
        if not re.fullmatch(r"[a-z]+(-[a-z]+)*", word):
            break
        verb.append(word)
    assert main([*verb, "--help"]) == 0
    told = capsys.readouterr().out
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word.split('=')[0])}\b", told), word


@pytest.mark.parametrize("page", TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_that_is_passed_is_one(page: Path) -> None:
    for code in codes(page):
        for key in re.findall(r"-c (?!key=)([a-z_]+)=", code):
            assert key in rows(), code
