"""The plan of a deploy, derived from a change set and the settings of both templates."""

from __future__ import annotations

from dataclasses import dataclass

from gpustation.catalog.locked import LOCKED
from gpustation.handlers.image_choice import Choice, require_same_settings
from gpustation.handlers.responder import RefusedError
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.change_set import Change, Deployed
from gpustation.plan.deployed_settings import UNKNOWN, settings_of, when
from gpustation.plan.effect import Effect
from gpustation.plan.reading import CHOICE, INSTANCE, ChangeReading, Template


@dataclass(frozen=True)
class SettingChange:
    """A setting whose value changes.

    Attributes:
        name: Name in ``cdk.json``, or ``scripts`` for the machine's scripts.
        old: Value in the deployed stack; empty if there is no stack.
        new: Value after the deploy.
        when: When the change takes effect.
    """

    name: str
    old: str
    new: str
    when: str

    def __str__(self) -> str:
        """The change as one line of text."""
        if not self.old:
            return f"{self.name}: {self.new}"
        return f"{self.name}: {self.old} -> {self.new} ({self.when})"


@dataclass(frozen=True)
class Plan:
    """The effect of a deploy, with its details.

    Attributes:
        stack: Name of the stack.
        effect: Effect on the machine.
        settings: Settings that change; all settings for a new stack.
        notes: Sentences about the machine, or about the reason of a refusal.
        others: One line for each other change.
    """

    stack: str
    effect: Effect
    settings: tuple[SettingChange, ...] = ()
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The plan as text of several lines."""
        lines = [f"{self.stack}: {self.effect.meaning}"]
        lines += [f"  {line}" for line in (*self.settings, *self.notes, *self.others)]
        return "\n".join(lines)


def plan_of_status(stack: SynthesizedStack, deployed: Deployed) -> Plan | None:
    """The plan for a stack whose status permits no change set; ``None`` for any other status."""
    status = deployed.status
    because = f"{status}: {deployed.reason}" if deployed.reason else status
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        note = (
            f"its creation failed ({because}); `cdk deploy` deletes the rest and creates it again"
        )
        return Plan(stack.name, Effect.NEW, _changes({}, settings_of(stack.template)), (note,))
    remedy = _REMEDIES.get(status)
    if remedy is None and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        remedy = "another operation is in progress; wait for its end"
    if remedy is None:
        return None
    return Plan(stack.name, Effect.REFUSED, notes=(f"the stack is in {because}; {remedy}",))


_REMEDIES = {
    "CREATE_FAILED": "--no-rollback kept it in this status; run `cdk rollback` or `cdk destroy`",
    "UPDATE_FAILED": "--no-rollback kept it in this status; run `cdk rollback`",
    "UPDATE_ROLLBACK_FAILED": "its rollback failed; fix the errors in the stack's events, then run "
    "`cdk rollback`",
    "DELETE_FAILED": "its deletion failed; fix the errors in the stack's events, then run "
    "`cdk destroy`",
}


def plan_of_new(stack: SynthesizedStack) -> Plan:
    """The plan for a stack that does not exist yet."""
    return Plan(stack.name, Effect.NEW, _changes({}, settings_of(stack.template)))


def plan_of_changes(stack: SynthesizedStack, changes: list[Change] | None, old: Template) -> Plan:
    """The plan for a stack that exists.

    Args:
        stack: The stack to deploy.
        changes: The change set; ``None`` if nothing changes.
        old: The deployed template.

    Raises:
        ValueError: One of the templates is not that of a workstation.
    """
    current = settings_of(old, _locked_settings(changes or []))
    wanted = settings_of(stack.template, current)
    if wanted["generation"] != current["generation"]:
        # Settings that are not given have their defaults on a new machine
        wanted = settings_of(stack.template)
    settings = _changes(current, wanted)
    if changes is None:
        return Plan(stack.name, Effect.NOTHING, settings)
    reading = ChangeReading(changes, old, stack.template)
    effect, notes = _machine_effect(reading, stack.template)
    others = tuple(reading.lines()) if changes else ("outputs change",)
    return Plan(stack.name, effect, settings, notes, others)


def _locked_settings(changes: list[Change]) -> dict[str, str]:
    """Locked settings of the machine, from its image choice: the template may lack defaults."""
    settings: dict[str, str] = {}
    for change in changes:
        if change["ResourceType"] == CHOICE and change["Action"] in ("Modify", "Remove"):
            locked = Choice.parse(change["PhysicalResourceId"]).locked
            settings |= {LOCKED.get(name, name): value for name, value in locked.items()}
    return settings


def _changes(old: dict[str, str], new: dict[str, str]) -> tuple[SettingChange, ...]:
    return tuple(
        SettingChange(name, old.get(name, UNKNOWN) if old else "", value, when(name))
        for name, value in new.items()
        if old.get(name) != value
    )


def _machine_effect(reading: ChangeReading, new: Template) -> tuple[Effect, tuple[str, ...]]:
    """The most severe effect on the machine, with its notes."""
    for change in reading.of_type(CHOICE, "Modify"):
        properties = new["Resources"][change["LogicalResourceId"]]["Properties"]
        try:
            require_same_settings(Choice.parse(change["PhysicalResourceId"]), properties)
        except RefusedError as refusal:
            return Effect.REFUSED, (str(refusal),)
    removed = reading.of_type(INSTANCE, "Remove", "Dynamic")
    if removed:
        machines = ", ".join(change["PhysicalResourceId"] for change in removed)
        note = f"{machines} is deleted with its disk, once the new machine is ready"
        return Effect.REPLACED, (note,)
    for change in reading.of_type(INSTANCE, "Modify"):
        machine = change["PhysicalResourceId"]
        if properties := reading.replacing(change):
            names = ", ".join(sorted(properties))
            note = f"{machine} is replaced because of {names}; its disk is deleted"
            return Effect.REPLACED, (note,)
        if names := ", ".join(reading.stopping(change)):
            note = f"{machine} is stopped and started because of {names}; running programs end"
            return Effect.STOPS, (note,)
    return Effect.IN_PLACE, ()
