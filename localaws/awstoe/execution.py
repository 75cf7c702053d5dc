"""Runs the phases of component documents on one machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from localaws.awstoe import actions
from localaws.awstoe.document import Document, Step

TAIL_LINES = 10
REBOOT_STATUS = 194
"""A script that ends with it is run again after a reboot."""
_REFERENCE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


class StepError(RuntimeError):
    """A step failed; the text names component, phase and step, and ends with its last lines."""


@dataclass(frozen=True)
class Component:
    """A document as a recipe uses it.

    Args:
        name: What a failure calls it.
        document: What it does.
        given: The recipe's values for its parameters.
    """

    name: str
    document: Document
    given: Mapping[str, str] = field(default_factory=dict)


class Execution:
    """The documents' run on one machine, with what its steps have put out.

    Args:
        host: The machine.
        log: Takes each line of the log.
    """

    def __init__(self, host: actions.Host, log: Callable[[str], None]) -> None:
        self._host = host
        self._log = log
        self._outputs: dict[tuple[str, str], dict[str, str]] = {}

    def run(self, component: Component, phase: str) -> None:
        """One phase of one component; nothing, if the component does not have it.

        Raises:
            StepError: A step failed, and its document does not ignore that.
        """
        failed: StepError | None = None
        for step in component.document.phases.get(phase, ()):
            about = f"component {component.name}, phase {phase}, step {step.name}"
            self._log(f"{about}: {step.action} started")
            try:
                self._step(component, phase, step, about)
            except StepError as error:
                self._log(str(error))
                if step.on_failure == "Abort":
                    raise
                if step.on_failure == "Continue":
                    failed = failed or error
            else:
                self._log(f"{about}: {step.action} completed")
        if failed is not None:
            raise failed

    def _step(self, component: Component, phase: str, step: Step, about: str) -> None:
        for attempt in range(1, step.attempts + 1):
            inputs = self._filled(step.inputs, component, about)
            try:
                output = self._rebooting(step, inputs)
            except (actions.ActionError, KeyError) as error:
                output, fault = actions.Output(), f"{step.action}: {error}"
            else:
                fault = output.fault or (f"exit status {output.status}" if output.status else "")
            self._tell(output)
            if not fault:
                said = {"stdout": output.stdout.strip()}
                for number, row in enumerate(inputs if isinstance(inputs, list) else []):
                    said |= {f"inputs[{number}].{name}": str(row[name]) for name in row}
                self._outputs[phase, step.name] = said
                return
            self._log(f"{about}: attempt {attempt} of {step.attempts} failed: {fault}")
        lines = (output.stdout + output.stderr).strip().splitlines()[-TAIL_LINES:]
        raise StepError("\n".join([f"{about}: {fault}", *lines]))

    def _rebooting(self, step: Step, inputs: Any) -> actions.Output:
        """The action's output; a script may ask for a reboot, after which it is run again."""
        while True:
            output = actions.run(self._host, step.action, inputs, step.seconds)
            if output.status != REBOOT_STATUS or not step.action.startswith("Execute"):
                return output
            self._tell(output)
            self._log("reboot, as the script asked for by its exit status")
            self._host.reboot()

    def _tell(self, output: actions.Output) -> None:
        for name, text in (("Stdout", output.stdout), ("Stderr", output.stderr)):
            for line in text.splitlines():
                self._log(f"{name}: {line}")

    def _filled(self, inputs: Any, component: Component, about: str) -> Any:
        """Inputs with every reference replaced, at any depth."""
        if isinstance(inputs, dict):
            return {name: self._filled(one, component, about) for name, one in inputs.items()}
        if isinstance(inputs, list):
            return [self._filled(one, component, about) for one in inputs]
        if not isinstance(inputs, str):
            return inputs
        return _REFERENCE.sub(lambda match: self._value(match[1], component, about), inputs)

    def _value(self, name: str, component: Component, about: str) -> str:
        values = {**component.document.values, **component.given}
        if values.get(name) is not None:
            return str(values[name])
        phase, _, rest = name.partition(".")
        step, _, member = rest.partition(".")
        said = self._outputs.get((phase, step), {})
        member = member.removeprefix("outputs.")
        if member in said:
            return said[member]
        raise StepError(f"{about}: there is no value for {{{{ {name} }}}}")
