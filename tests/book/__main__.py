"""Whether the book runs: ``python -m tests.book FRAMEWORK SOURCE --environment FOLDER``.

SOURCE is a checkout of Dive into Deep Learning at the commit that the machine takes, FOLDER an
environment made from userdata/locks or, without a GPU, from localaws/machines/booted/locks. Every
section is converted as on the machine and executed in that environment, one after the other.
Downloads get small generated data where `data` has some. Prints one line per section, in the groups
below, and exits with 1 if one fails for a reason of ours.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.book import data, faults

PROGRAMS = Path(__file__).parent
CONVERT = PROGRAMS.parents[1] / "userdata/phases/40-fetch-notebooks/convert_book.py"
RUNS, TEXT, ELSEWHERE = "runs", "text only", "another framework's"
DOWNLOAD, GPUS, PACKAGES = "needs a download", "needs GPUs", "needs packages"
SLOW, BOOK, OURS = "slower than the limit", "the book's own fault", "OURS"
WALL_FACTOR, GRACE_SECONDS = 30, 10
"""A section that only waits ends too; its kernel gets the seconds to end in."""
SAYS_FOR_WHOM = "The book has this section for "
NETWORK = re.compile(
    r"URLError|ConnectionError|HTTPError|ProxyError|MaxRetryError|Failed downloading|"
    r"Temporary failure in name resolution|Name or service not known"
)
NO_GPU = re.compile(
    r"no NVIDIA driver|not compiled with CUDA|compile with USE_CUDA|invalid device ordinal|"
    r"GPU is not enabled|CUDA is not (?:enabled|available)|No CUDA GPUs|num_gpus|available GPU",
    re.IGNORECASE,
)
NO_DEVICES = ("IndexError", "ZeroDivisionError")
"""What becomes of `try_all_gpus()` without a GPU: d2l's list is empty."""
GPU_NUMBER = re.compile(r"\b(?:try_)?gpu\((\d)\)|cuda:(\d)")
GPU_COUNT = re.compile(r"\bnum_gpus *= *(\d)|n_workers *= *(\d)")


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a section ended.

    Attributes:
        group: One of the groups above.
        why: What is to be known beyond the group.
        pictures: How many pictures it showed.
    """

    group: str
    why: str = ""
    pictures: int = 0


def main() -> int:
    """Exit status 0 where no section fails for a reason of ours."""
    options = _options()
    counts: Counter[str] = Counter()
    with _workplace(options) as (book, variables):
        for path in sorted(book.glob("chapter_*/*.ipynb")):
            page = path.relative_to(book).with_suffix("").as_posix()
            if not re.search(options.only, page):
                continue
            ending = try_section(path, page, options, variables)
            counts[ending.group] += 1
            print(f"{page} | {ending.group} | {ending.pictures} | {ending.why}", flush=True)
    print("; ".join(f"{group}: {count}" for group, count in counts.most_common()))
    return 1 if counts[OURS] else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.book", description=__doc__)
    parser.add_argument("framework", choices=["mxnet", "pytorch"])
    parser.add_argument("source", type=Path)
    parser.add_argument("--environment", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=60, help="CPU seconds per section")
    parser.add_argument("--only", default="", help="pattern of the sections to try")
    parser.add_argument("--converter", type=Path, default=CONVERT, help="another convert_book.py")
    return parser.parse_args()


@contextlib.contextmanager
def _workplace(options: argparse.Namespace) -> Iterator[tuple[Path, dict[str, str]]]:
    """The converted book, and the environment variables with which its kernels start."""
    with tempfile.TemporaryDirectory() as folder:
        book, home, profile = (Path(folder, name) for name in ("d2l", "home", "ipython"))
        convert = [options.converter, options.framework, options.source.resolve(), book]
        subprocess.run([sys.executable, *map(str, convert)], check=True, stdout=sys.stderr)
        data.place_images(book, home)
        startup = profile / "profile_default/startup/book.py"
        startup.parent.mkdir(parents=True)
        # No name of it is left in the notebook
        startup.write_text(
            f"__import__('sys').path.append({str(PROGRAMS)!r}); __import__('kernel')\n"
            "__import__('sys').path.pop()\n"
        )
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        yield (
            book,
            kept | {"HOME": str(home), "MXNET_HOME": str(home), "IPYTHONDIR": str(profile)},
        )


def try_section(
    path: Path, page: str, options: argparse.Namespace, variables: dict[str, str]
) -> Ending:
    """Execute a section within the limit and put its end into a group."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    if len(cells) == 1 and SAYS_FOR_WHOM in sources[0]:
        return Ending(ELSEWHERE)
    if all(cell["cell_type"] != "code" for cell in cells):
        return Ending(TEXT)
    python = options.environment.resolve() / "bin/python"
    command = [str(python), str(PROGRAMS / "section.py"), str(path), str(options.limit)]
    said, fault = _said(command, variables, WALL_FACTOR * options.limit)
    reports = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    if reports and "error" in reports[-1]:
        return judge(reports[-1], options.framework, page, sources)
    if fault:
        return Ending(OURS, f"no report: {fault[-160:]}".replace("\n", " "))
    cell = reports[-1]["cell"] + 1 if reports else 0
    return Ending(SLOW, f"in cell {cell} of {len(cells)} after {options.limit:.0f} CPU seconds")


def _said(command: list[str], variables: dict[str, str], limit: float) -> tuple[str, str]:
    """What a command printed and, where it failed by itself, what it said about that."""
    with subprocess.Popen(
        ["nice", "-n", "15", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=variables,
        text=True,
    ) as process:
        try:
            said, fault = process.communicate(timeout=limit)
            return said, fault if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.terminate()  # nbclient ends the kernel, which is in a session of its own
        try:
            said, _ = process.communicate(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        return said, ""


def judge(report: dict[str, Any], framework: str, page: str, sources: list[str]) -> Ending:
    """Put the end of a section into a group."""
    error, pictures = report["error"], report["pictures"]
    why = f"{error['name']}: {error['value']}".replace("\n", " ")[:160] if error else ""
    if not error:
        if report["hidden"]:
            return Ending(OURS, f"plots not shown, of cells {report['hidden']}", pictures)
        return Ending(RUNS, pictures=pictures)
    text = f"{error['name']} {error['value']} {error['trace']}"
    needed = [line for line in sources[0].splitlines() if line.startswith("# %pip install")]
    if known := faults.KNOWN.get((framework, page)):
        return Ending(BOOK, f"{known} ({why})", pictures)
    if page in faults.NEED_REAL_DATA:
        return Ending(DOWNLOAD, faults.NEED_REAL_DATA[page], pictures)
    if error["name"] == "ModuleNotFoundError" and needed:
        return Ending(PACKAGES, needed[0][len("# %pip install ") :], pictures)
    if NETWORK.search(text):
        return Ending(DOWNLOAD, why, pictures)
    asks_for_all = any("try_all_gpus()" in source for source in sources)
    if NO_GPU.search(text) or (asks_for_all and error["name"] in NO_DEVICES):
        return Ending(GPUS, f"{gpus(sources)}: {why}", pictures)
    return Ending(OURS, why, pictures)


def gpus(sources: list[str]) -> int:
    """How many GPUs a section names, at least."""
    code = "\n".join(sources)
    numbers = [1 + int(found) for pair in GPU_NUMBER.findall(code) for found in pair if found]
    counts = [int(found) for pair in GPU_COUNT.findall(code) for found in pair if found]
    return max([1, *numbers, *counts])


if __name__ == "__main__":
    sys.exit(main())
