"""A run: what its parts share."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from acceptance.commands import Commands, Finished
from acceptance.holdings import read_holdings
from acceptance.meter import Meter
from acceptance.outcome import LeftOutError, OverLimitError, PartFailedError
from acceptance.run_file import RunFile
from acceptance.world import World
from gpustation.catalog.gpu_types import GpuType
from gpustation.catalog.names import IMAGE, WORKSTATION, stack_name

OBSERVE_SECONDS = 15.0
"""Between two observations of what is billed."""
RECORD = "simulated"
"""Word in the report of a machine of the embedded AWS that is a record."""
YES, NO, UNKNOWN = "yes", "no", "unknown"
"""Answers to the questions about AWS."""
Fact = str | float | int
Evidence = dict[str, Fact]


@dataclass
class Run:
    """What the parts of a run share.

    Attributes:
        world: Where it takes place.
        file: What it has made.
        gpu_type: Type of its machine.
        larger: Type that it is changed to; ``None`` if there is none with the same GPU.
        framework: The first framework.
        meter: What it has cost.
        settings: The settings of its workstation, as the next deploy gives them.
        logs: Folder of its logs.
        probes: Answers, by the id of the question: yes, no or unknown, and what was found.
        notes: What a part leaves for a later one.
    """

    world: World
    file: RunFile
    gpu_type: GpuType
    larger: GpuType | None
    framework: str
    meter: Meter
    settings: dict[str, str]
    logs: Path
    lock: int
    probes: dict[str, tuple[str, str]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.commands = Commands(self.world.environment, self.logs, self.tick, self.lock)
        self._observed = float("-inf")

    @property
    def workstation(self) -> str:
        """Name of the stack with the machine."""
        return stack_name(WORKSTATION, self.file.name)

    @property
    def image(self) -> str:
        """Name of the stack with the image."""
        return stack_name(IMAGE, self.file.name)

    def gpustation(self, verb: str, *words: str, **options: Any) -> Finished:
        """Run a verb on the run's workstation."""
        return self.commands.gpustation(verb, *words, "--name", self.file.name, **options)

    def up(self, **settings: str) -> Finished:
        """Deploy the workstation with further settings, which stay for later deploys."""
        self.settings |= settings
        return self.deploy(self.settings)

    def deploy(self, settings: Mapping[str, str], statuses: tuple[int, ...] = (0,)) -> Finished:
        """Deploy the workstation with these settings."""
        self.intend(self.workstation)
        given = {"name": self.file.name, **settings}
        words = [word for row in given.items() for word in ("-c", "=".join(row))]
        return self.commands.gpustation("up", *words, "--yes", "--json", statuses=statuses)

    def intend(self, stack: str) -> None:
        """Record that the run will make a stack of this name.

        Raises:
            PartFailedError: One exists that the run did not make.
        """
        if stack not in self.file.stacks:
            if self.stack_id(stack):
                raise PartFailedError(f"a stack {stack} exists already, and is not of this run")
            self.file.stacks[stack] = []
            self.file.write()

    def stack_id(self, stack: str) -> str:
        """Id of the stack that has this name now; empty if there is none."""
        client = self.world.session().client("cloudformation")
        try:
            (row,) = client.describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return ""
            raise
        return "" if row["StackStatus"] == "DELETE_COMPLETE" else row["StackId"]

    def on_machine(self, script: str, seconds: float = 900) -> str:
        """Output of a script in the login shell that ``gpustation ssh`` gives.

        Raises:
            LeftOutError: The machine is a record.
            PartFailedError: It failed.
        """
        self.require_machine()
        return self.gpustation_ssh(script, seconds).out.strip()

    def gpustation_ssh(self, script: str, seconds: float = 900) -> Finished:
        """Run ``gpustation ssh -- script``."""
        words = ("ssh", "--name", self.file.name, "--yes", "--", script)
        return self.commands.gpustation(*words, seconds=seconds)

    def require_machine(self) -> None:
        """Leave a part out that needs a machine which answers.

        Raises:
            LeftOutError: The machine is a record.
        """
        if self.notes.get("record"):
            raise LeftOutError("the machine is a record of the embedded AWS, and does not answer")

    def status(self) -> dict[str, Any]:
        """What ``gpustation status`` says of the workstation."""
        document = self.gpustation("status", "--json").document
        (row,) = document["workstations"]
        found: dict[str, Any] = row
        return found

    def stop(self) -> None:
        """Stop the machine if it runs, so that what follows is not billed twice."""
        machine = self.status()["machine"]
        if machine and machine["state"] not in ("stopped", "terminated"):
            self.gpustation("stop", "--yes")

    def tick(self) -> None:
        """Observe what is billed, and which stacks there are.

        Raises:
            OverLimitError: What remains of the limit is needed for the deletion.
        """
        if time.monotonic() - self._observed >= OBSERVE_SECONDS:
            self.look()

    def look(self) -> None:
        """Observe, and end the part if the limit is reached.

        Raises:
            OverLimitError: What remains of the limit is needed for the deletion.
        """
        self.observe()
        if self.meter.is_over:
            raise OverLimitError(
                f"{self.meter.spent:.2f} USD of {self.meter.maximum:.2f} are spent, and what "
                "remains is needed to delete what runs"
            )

    def observe(self) -> None:
        """Count what is billed now; what cannot be asked counts as unchanged."""
        try:
            session = self.world.session()
            for stack in self.file.stacks:
                if stack_id := self.stack_id(stack):
                    self.file.note_stack(stack, stack_id)
            self.meter.observe(read_holdings(session, tuple(self.file.stacks)))
        except (ClientError, BotoCoreError):
            self.meter.carry_on()
        self._observed = time.monotonic()

    def ready(self, text: str | None) -> str:
        """What the machine reported as ready.

        Raises:
            PartFailedError: It reported nothing, or on AWS no GPU.
        """
        if not text:
            raise PartFailedError("the deploy has no output Ready")
        self.notes["record"] = RECORD in text
        if self.world.where == "aws" and re.search(r"no GPU|CPU", text):
            raise PartFailedError(f"the machine did not compute on a GPU: {text}")
        return text
