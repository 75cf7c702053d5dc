"""What a deploy comes to: the judgement of a change set, for a person and for a program."""

from __future__ import annotations

from dataclasses import dataclass

from gpustation.catalog.locked import LOCKED
from gpustation.handlers.image_choice import Choice, require_same_settings
from gpustation.handlers.responder import RefusedError
from gpustation.plan.assembly import SynthesizedStack
from gpustation.plan.change_set import Change, Deployed
from gpustation.plan.effect import Effect
from gpustation.plan.reading import CHOICE, INSTANCE, ChangeReading, Template
from gpustation.plan.told_settings import UNKNOWN, settings_of, when


@dataclass(frozen=True)
class SettingChange:
    """A setting that becomes another one.

    Attributes:
        name: Its name in ``cdk.json``, or ``scripts`` for the machine's scripts.
        old: Its value in the deployed stack; empty if there is none.
        new: Its value in a deploy.
        when: When it takes effect.
    """

    name: str
    old: str
    new: str
    when: str

    def __str__(self) -> str:
        """One line."""
        if not self.old:
            return f"{self.name}: {self.new}"
        return f"{self.name}: {self.old} -> {self.new} ({self.when})"


@dataclass(frozen=True)
class Plan:
    """The answer, for a person and for a program.

    Attributes:
        stack: Name of the stack.
        effect: What a deploy comes to.
        settings: The settings that change; all of them for a new stack.
        notes: What happens to the machine, or what stands in the way; a sentence each.
        others: What else changes; a line each.
    """

    stack: str
    effect: Effect
    settings: tuple[SettingChange, ...] = ()
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """What a person reads."""
        lines = [f"{self.stack}: {self.effect.meaning}"]
        lines += [f"  {line}" for line in (*self.settings, *self.notes, *self.others)]
        return "\n".join(lines)


def plan_of_status(stack: SynthesizedStack, deployed: Deployed) -> Plan | None:
    """The plan of a stack in a state that no change set can be asked about; None in all others."""
    status = deployed.status
    because = f"{status}: {deployed.reason}" if deployed.reason else status
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED"):
        note = (
            f"its creation failed ({because}); `cdk deploy` deletes what is left, and begins anew"
        )
        return Plan(stack.name, Effect.NEW, _changes({}, settings_of(stack.template)), (note,))
    remedy = _REMEDIES.get(status)
    if remedy is None and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        remedy = "another operation is under way; wait for its end"
    if remedy is None:
        return None
    return Plan(stack.name, Effect.REFUSED, notes=(f"the stack is in {because}; {remedy}",))


_REMEDIES = {
    "CREATE_FAILED": "it was kept by --no-rollback; `cdk rollback` or `cdk destroy` ends that",
    "UPDATE_FAILED": "it was kept by --no-rollback; `cdk rollback` ends that",
    "UPDATE_ROLLBACK_FAILED": "its rollback stopped halfway; set right what the stack's events "
    "name, then `cdk rollback` ends it",
    "DELETE_FAILED": "its deletion stopped halfway; set right what the stack's events name, then "
    "`cdk destroy` ends it",
}


def plan_of_new(stack: SynthesizedStack) -> Plan:
    """The plan of a stack that does not exist yet."""
    return Plan(stack.name, Effect.NEW, _changes({}, settings_of(stack.template)))


def plan_of_changes(stack: SynthesizedStack, changes: list[Change] | None, old: Template) -> Plan:
    """The plan of a stack that exists.

    Args:
        stack: What would be deployed.
        changes: What CloudFormation says about it; None if it says that nothing changes.
        old: The template that is deployed.

    Raises:
        ValueError: One of the templates is not that of a workstation.
    """
    had = settings_of(old, _made_with(changes or []))
    wanted = settings_of(stack.template, had)
    if wanted["generation"] != had["generation"]:
        # A new machine gets today's defaults of what is not given
        wanted = settings_of(stack.template)
    settings = _changes(had, wanted)
    if changes is None:
        return Plan(stack.name, Effect.NOTHING, settings)
    reading = ChangeReading(changes, old, stack.template)
    effect, notes = _fate(reading, stack.template)
    others = tuple(reading.lines()) if changes else ("outputs change",)
    return Plan(stack.name, effect, settings, notes, others)


def _made_with(changes: list[Change]) -> dict[str, str]:
    """What the machine was made with, told by its choice: the template may have left it out."""
    found: dict[str, str] = {}
    for change in changes:
        if change["ResourceType"] == CHOICE and change["Action"] in ("Modify", "Remove"):
            locked = Choice.parse(change["PhysicalResourceId"]).locked
            found |= {LOCKED.get(name, name): value for name, value in locked.items()}
    return found


def _changes(old: dict[str, str], new: dict[str, str]) -> tuple[SettingChange, ...]:
    return tuple(
        SettingChange(name, old.get(name, UNKNOWN) if old else "", value, when(name))
        for name, value in new.items()
        if old.get(name) != value
    )


def _fate(reading: ChangeReading, new: Template) -> tuple[Effect, tuple[str, ...]]:
    """What becomes of the machine; the worst first."""
    for change in reading.of_type(CHOICE, "Modify"):
        properties = new["Resources"][change["LogicalResourceId"]]["Properties"]
        try:
            require_same_settings(Choice.parse(change["PhysicalResourceId"]), properties)
        except RefusedError as refusal:
            return Effect.REFUSED, (str(refusal),)
    removed = [one["PhysicalResourceId"] for one in reading.of_type(INSTANCE, "Remove", "Dynamic")]
    if removed:
        gone = f"{', '.join(removed)} goes with its disk, once the new machine is ready"
        return Effect.REPLACED, (gone,)
    for change in reading.of_type(INSTANCE, "Modify"):
        machine = change["PhysicalResourceId"]
        if why := reading.replacing(change):
            names = ", ".join(sorted(why))
            return Effect.REPLACED, (f"{machine} is replaced because of {names}; its disk goes",)
        if names := ", ".join(reading.stopping(change)):
            stops = f"{machine} is stopped and started because of {names}: what runs on it ends"
            return Effect.STOPS, (stops,)
    return Effect.IN_PLACE, ()
