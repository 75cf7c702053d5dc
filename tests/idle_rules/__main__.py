"""Whether each rule of the idle stop is guarded: ``python -m tests.idle_rules``.

Takes one rule at a time out of a machine's copy of ``userdata/idle``, lets the scene that guards it
go on on a machine that boots (``tests/boot/idle_scenes.py``), and demands that the scene fails, for
the reason that the rule prevents. Beside it another scene, of the opposite outcome, must still
succeed: what is taken out is the rule and not the idle stop. It takes an hour; ``--only`` selects
rules, ``--table`` prints the table of docs/testing.md and boots nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from localaws.isolation import isolate
from tests.boot.idle_scene import Outcome, fault, play
from tests.boot.idle_scenes import SCENES
from tests.boot.installed import install
from tests.idle_rules.rules import RULES, Rule, table

SIDE_BY_SIDE = 5


@dataclass(frozen=True)
class Trial:
    """A rule that is out, and a scene."""

    rule: Rule
    scene: str

    def judge(self, outcome: Outcome) -> str:
        """What is wrong with the outcome; empty if it is as it must be."""
        wrong = fault(SCENES[self.scene], outcome)
        if self.scene not in self.rule.scenes:
            return wrong and f"it shall succeed: {wrong}"
        if not wrong:
            return f"it stays green: {outcome}"
        return "" if self.rule.reason in outcome.reason else f"red, but for another reason: {wrong}"


def run(rules: Sequence[Rule], distribution: str, folder: Path) -> int:
    """Print what comes of each trial; returns the number of those that are not as they must be."""
    trials = [Trial(rule, scene) for rule in rules for scene in (*rule.scenes, rule.beside)]
    disk = None
    if any(SCENES[trial.scene].notebooks for trial in trials):
        disk = folder / "installed"
        install(distribution, disk)
    began, failed = time.monotonic(), 0

    def outcome(number: int, trial: Trial) -> Outcome:
        own = folder / f"rule-{number}"
        own.mkdir()
        scene = SCENES[trial.scene]
        used = disk if scene.notebooks else None
        return play(scene, distribution, own, used, trial.rule.apply)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        made: list[tuple[Trial, Future[Outcome]]] = [
            (trial, pool.submit(outcome, number, trial)) for number, trial in enumerate(trials)
        ]
        for trial, future in made:
            try:
                result = future.result()
                wrong = trial.judge(result)
            except Exception as error:  # any: the other rules are tried all the same
                wrong = f"could not be played: {' '.join(str(error).split())[-300:]}"
            failed += bool(wrong)
            color = "red" if trial.scene in trial.rule.scenes else "green"
            what = f"{trial.rule.says}, without {trial.rule.without}\t{trial.scene}"
            seconds = time.monotonic() - began
            print(f"{seconds:5.0f} s\t{what}\t{wrong or f'{color}: {result}'}", flush=True)
    return failed


def main() -> int:
    """Run the rules; status 1 if one is not guarded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distribution", default="debian-13")
    parser.add_argument("--only", nargs="*", help="scenes: the rules that they guard")
    parser.add_argument("--table", action="store_true", help="print the table and boot nothing")
    asked = parser.parse_args()
    if asked.table:
        print(table(), end="")
        return 0
    isolate()
    rules = [rule for rule in RULES if not asked.only or {*asked.only} & {*rule.scenes}]
    with tempfile.TemporaryDirectory(prefix="idle-rules-") as folder:
        failed = run(rules, asked.distribution, Path(folder))
    print(f"{len(rules)} rules, {failed} not as they must be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
