"""Whether the tests notice that a rule is gone: ``python -m tests.taken_out``.

`tests/mutations.py` draws its changes by a seed. These rules are chosen: without one of them a
machine or a reservation stays and is billed, or a person's disk is lost. Each is taken out in a
copy of the tree, as it is committed, and every test that is named for it must fail.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutations import copy_tree, environment

HANDLERS = "constructs/gpustation/handlers"
SPOT = "tests/faults/test_spot.py"
CAPACITY = "tests/faults/test_capacity.py"
TYPES = "tests/faults/test_capacity_of_types.py::TestAnotherType"
MOVE = "tests/e2e/test_move.py"
INTERRUPTED = "tests/e2e/test_move_interrupted.py"
FAILED = 1
"""pytest's exit status if a test failed; others mean that it could not run the test."""


@dataclass(frozen=True)
class Rule:
    """A rule of the product.

    Attributes:
        name: The rule.
        path: The file that has it, from the tree's root.
        text: The code that is the rule; it occurs once there.
        without: The code without it.
        tests: Tests that must fail then.
    """

    name: str
    path: str
    text: str
    without: str
    tests: tuple[str, ...]

    def take_out(self, tree: Path) -> str:
        """Take it out of a tree; returns what the file was.

        Raises:
            ValueError: The file has the code not once.
        """
        file = tree / self.path
        before = file.read_text()
        if before.count(self.text) != 1:
            raise ValueError(
                f"{self.path} has {before.count(self.text)} times {self.text!r}, which must occur "
                f"once; correct the rule {self.name!r} in tests/taken_out.py"
            )
        file.write_text(before.replace(self.text, self.without))
        return before


RULES = (
    Rule(
        "a spot request is cancelled before its machine is deleted",
        f"{HANDLERS}/spot_request.py",
        "left = cancel_requests(ec2, tags, sleep=sleep, monotonic=monotonic)",
        "left: list[str] = []",
        tuple(
            f"{SPOT}::test_a_destroy_leaves_no_request_and_no_machine[{state}]"
            for state in ("running", "stopped", "interrupted")
        ),
    ),
    Rule(
        "a hold ends once the machine exists",
        f"{HANDLERS}/image_choice.py",
        "            capacity_hold.release(event, ec2, reservation)",
        "            pass",
        (f"{CAPACITY}::test_the_zone_that_has_room_is_found",),
    ),
    Rule(
        "a hold ends in the rollback of a launch",
        f"{HANDLERS}/image_choice.py",
        "capacity_hold.release(event, ec2, hold.partition(_SEPARATOR)[0])",
        "pass",
        (f"{CAPACITY}::test_a_launch_that_fails_leaves_no_hold",),
    ),
    Rule(
        "a hold stays for the machine whose hold this machine uses",
        f"{HANDLERS}/image_choice.py",
        'capacity_hold.await_exchange(ec2, properties["InstanceId"], reservation)',
        "pass",
        ("tests/faults/test_capacity_exchange.py::test_each_machine_uses_the_hold_of_the_other",),
    ),
    Rule(
        "room for another type is held before the machine is stopped",
        f"{HANDLERS}/image_choice.py",
        "capacity_hold.for_new_type(event, zone, clients)",
        'Found(zone, "")',
        (
            f"{TYPES}::test_is_held_before_the_machine_is_stopped",
            f"{TYPES}::test_without_room_the_machine_runs_on",
        ),
    ),
    Rule(
        "a rollback asks for no room",
        f"{HANDLERS}/capacity_hold.py",
        "if is_rolling_back(clients.cloudformation, event):",
        "if False:",
        (f"{TYPES}::test_a_rollback_asks_nothing",),
    ),
    Rule(
        "a machine that was started while its disk was copied is not moved",
        "constructs/gpustation/move/steps.py",
        "            require_untouched(ec2, prepared.machine)\n",
        "",
        (f"{MOVE}::test_somebody_starts_the_machine_meanwhile",),
    ),
    Rule(
        "Ctrl-C while cdk.json is written takes it back",
        "constructs/gpustation/move/steps.py",
        'with held(f"writing {change.path.name}"):',
        "if True:",
        (f"{INTERRUPTED}::test_ctrl_c_before_cloudformation_begins[write cdk.json]",),
    ),
    Rule(
        "an unfinished move is taken back before the machine is started",
        "constructs/gpustation/cli/start.py",
        "    if not workstation.busy:\n",
        "    if False:\n",
        (f"{INTERRUPTED}::test_an_unfinished_move_is_taken_back_if_the_machine_starts_after_all",),
    ),
    Rule(
        "a copy that is older than the disk is not deployed",
        f"{HANDLERS}/image_choice.py",
        '        require_newest_copy(image, event["StackId"], ec2)\n',
        "",
        (f"{INTERRUPTED}::test_an_unfinished_move_is_taken_back_if_the_machine_starts_after_all",),
    ),
)


def noticed(tree: Path, test: str) -> bool:
    """Whether a test fails in a tree.

    Alone: what a failed test leaves in the account makes others fail too.

    Raises:
        RuntimeError: It could not be run.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
    done = subprocess.run(
        command,
        cwd=tree,
        env=environment(tree),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, FAILED):
        raise RuntimeError(f"{test} did not run: {done.stdout[-2000:]}")
    return f"FAILED {test}" in done.stdout


def main() -> int:
    """Print each rule with its tests; status 1 if a test did not fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="take nothing out")
    parser.add_argument("--only", default="", help="rules whose name has this text")
    options = parser.parse_args()
    rules = [rule for rule in RULES if options.only in rule.name]
    if options.list:
        print(*(rule.name for rule in rules), sep="\n")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="taken-out-"))
    unnoticed = 0
    try:
        tree = folder / "tree"
        copy_tree(tree)
        for rule in rules:
            print(rule.name, flush=True)
            before = rule.take_out(tree)
            for test in rule.tests:
                began = time.monotonic()
                is_noticed = noticed(tree, test)
                unnoticed += not is_noticed
                word = "fails" if is_noticed else "PASSES"
                print(f"  {word} after {time.monotonic() - began:.0f} s: {test}", flush=True)
            (tree / rule.path).write_text(before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
