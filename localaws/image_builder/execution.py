"""Runs the phases of components on a machine, as AWSTOE does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localaws.image_builder.document import Phases, Step
from localaws.machines.host import ActionError, Host, Output

TAIL_LINES = 10
REBOOT_STATUS = 194
"""A script that exits with it is run again after a reboot."""


class StepError(RuntimeError):
    """A step failed; the text names component, phase and step, and ends with its last lines."""


class Execution:
    """The run of components on one machine.

    Args:
        host: The machine.
        log: Takes each line of the log.
    """

    def __init__(self, host: Host, log: Callable[[str], None]) -> None:
        self._host = host
        self._log = log

    def run(self, component: str, phases: Phases, phase: str) -> None:
        """Run one phase of a component, if it has that phase.

        Raises:
            StepError: A step failed.
        """
        for step in phases.get(phase, ()):
            where = f"component {component}, phase {phase}, step {step.name}"
            self._log(f"{where}: {step.action} started")
            self._run(step, where)
            self._log(f"{where}: {step.action} completed")

    def _run(self, step: Step, where: str) -> None:
        output = Output()
        for attempt in range(1, step.attempts + 1):
            output = self._attempt(step)
            if not output.reason:
                return
            self._log(f"{where}: attempt {attempt} of {step.attempts} failed: {output.reason}")
        lines = (output.stdout + output.stderr).strip().splitlines()[-TAIL_LINES:]
        error = "\n".join([f"{where}: {output.reason}", *lines])
        self._log(error)
        raise StepError(error)

    def _attempt(self, step: Step) -> Output:
        try:
            if step.action == "S3Download":
                return self._download(step.inputs)
            return self._bash(step)
        except (ActionError, KeyError) as error:
            return Output(failure=f"{step.action}: {error}")

    def _download(self, files: list[Mapping[str, Any]]) -> Output:
        for file in files:
            bucket, _, key = file["source"].removeprefix("s3://").partition("/")
            self._host.write(file["destination"], self._host.fetch(bucket, key))
        return Output()

    def _bash(self, step: Step) -> Output:
        """Run all commands as one script, whose status is that of the last command."""
        script = "\n".join(step.inputs["commands"]) + "\n"
        while True:
            output = self._host.bash(script, step.seconds)
            for name, text in (("Stdout", output.stdout), ("Stderr", output.stderr)):
                for line in text.splitlines():
                    self._log(f"{name}: {line}")
            if output.status != REBOOT_STATUS:
                return output
            self._log(f"reboot, as the script exited with status {REBOOT_STATUS}")
            self._host.reboot()
