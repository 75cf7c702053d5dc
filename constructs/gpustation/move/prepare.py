"""Checks that a machine can be moved from this folder, before anything is made or changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpustation.catalog.names import name_in
from gpustation.console.errors import CommandError
from gpustation.deploy.cdk import find_cdk
from gpustation.move.settings import Target
from gpustation.offers.costs import HOURS_OF_A_MONTH, cost_lines, read_costs
from gpustation.plan.assembly import AssemblyError, SynthesizedStack, assembly, read_assembly
from gpustation.plan.deployed_settings import settings_of
from gpustation.plan.effect import Effect
from gpustation.plan.make import make_plan
from gpustation.saved_image import make
from gpustation.settings.cdk_json import Change
from gpustation.settings.rows import written

if TYPE_CHECKING:
    import boto3

    from gpustation.plan.judgement import Plan
    from gpustation.workstation.find import Workstation
    from gpustation.workstation.machine import Machine

KEPT = ("instance_type", "framework", "disk_gib", "spot")
"""Settings that a move must not change beside its own: the zone was asked for this type, and the
disk has this framework."""
PLACEHOLDER = "ami-00000000000000000"
"""Stands for the image that the move makes."""


@dataclass(frozen=True)
class Prepared:
    """A move that can be made.

    Attributes:
        stack: Name of the stack.
        machine: The machine, which is stopped.
        target: Where it goes.
        saved: The machine as ``image save`` needs it.
        folder: Folder of the CDK app.
        lines: What the deploy does and what it costs, a line each.
    """

    stack: str
    machine: Machine
    target: Target
    saved: make.Workstation
    folder: Path
    lines: tuple[str, ...]

    @property
    def context(self) -> list[str]:
        """Options of the CDK CLI that select the stack."""
        name = name_in(self.stack)
        return [f"name={name}"] if name else []

    def settings(self, image: str) -> list[str]:
        """Options of the CDK CLI with the settings of the moved machine.

        Args:
            image: Id of its image. Empty: that of cdk.json.
        """
        values = self.target.values(self.machine)
        return [
            *self.context,
            *([f"image={image}"] if image else []),
            *(f"{key}={written(value)}" for key, value in values.items()),
        ]


def prepare(
    session: boto3.Session,
    workstation: Workstation,
    machine: Machine,
    target: Target,
    folder: Path,
) -> Prepared:
    """Synthesizes the app with the settings of the moved machine, and plans its deploy.

    Args:
        session: The session.
        workstation: The workstation.
        machine: Its machine, which is stopped.
        target: Where it goes.
        folder: The current folder, which must be that of the CDK app.

    Raises:
        CommandError: The machine cannot be moved from here; the message says why.
    """
    change = Change.read(folder)
    find_cdk()
    if not machine.generation:
        raise CommandError(
            f"{machine.instance_id} has no generation: only a machine of this project's stack can "
            "be moved"
        )
    ec2 = session.client("ec2")
    saved = make.find_workstation(
        session.client("cloudformation"), session.client("ssm"), ec2, workstation.stack
    )
    if saved.data_volumes:
        names = ", ".join(map(str, saved.data_volumes))
        raise CommandError(
            f"{names} is attached beside the root disk and would stay in {machine.zone}; detach it "
            "first, or copy it too: gpustation image save --with-data-volumes, then gpustation "
            "image use"
        )
    size = _root_gib(session, machine)
    if size > _deployed_gib(session, workstation):
        target = replace(target, disk_gib=size)
    # Another file that sets one of these would overrule cdk.json
    change.with_values({"image": PLACEHOLDER, **target.values(machine)})
    prepared = Prepared(workstation.stack, machine, target, saved, folder, ())
    try:
        with assembly(context=prepared.settings("")) as made:
            synthesized = read_assembly(made)
            _require_own(synthesized, prepared)
            plan = make_plan(session, app=str(made))
            lines = _lines(session, plan, synthesized, size)
    except AssemblyError as error:
        raise CommandError(str(error)) from error
    _require_kept(plan, target)
    return replace(prepared, lines=tuple(lines))


def _root_gib(session: boto3.Session, machine: Machine) -> int:
    """Size of the machine's disk in GiB, which somebody may have enlarged."""
    rows = session.client("ec2").describe_volumes(VolumeIds=[*machine.volumes])["Volumes"]
    return max((row["Size"] for row in rows), default=0)


def _deployed_gib(session: boto3.Session, workstation: Workstation) -> int:
    """Size of its disk when it was deployed, in GiB.

    Raises:
        CommandError: The stack is not that of a workstation.
    """
    cloudformation = session.client("cloudformation")
    template: Any = cloudformation.get_template(StackName=workstation.stack)["TemplateBody"]
    try:
        return int(settings_of(template)["disk_gib"])
    except (LookupError, ValueError, AttributeError) as error:
        raise CommandError(
            f"the stack {workstation.stack} does not say which settings it was deployed with: only "
            "a machine of this project's stack can be moved; save it with gpustation image save, "
            "and deploy it in your own way"
        ) from error


def _require_own(synthesized: SynthesizedStack, prepared: Prepared) -> None:
    """Check that the app of this folder is that of the machine, and follows cdk.json."""
    if synthesized.name != prepared.stack:
        raise CommandError(
            f"the app of {prepared.folder} has the stack {synthesized.name}, not {prepared.stack}; "
            "run this in the folder from which it was deployed"
        )
    wanted = {key: written(v) for key, v in prepared.target.values(prepared.machine).items()}
    ignored = [key for key, value in wanted.items() if synthesized.settings.get(key) != value]
    if ignored:
        raise CommandError(
            f"the app of {prepared.folder} does not follow {', '.join(ignored)} of its context, so "
            "it cannot be moved from here; save the machine with gpustation image save, and deploy "
            "it in your own way"
        )


def _require_kept(plan: Plan, target: Target) -> None:
    """Check that the deploy replaces the machine, and by the same one.

    Raises:
        CommandError: It would do something else.
    """
    if plan.effect is not Effect.REPLACED:
        why = "; ".join(plan.notes) or plan.effect.meaning
        raise CommandError(f"the deploy that moves it would not do that: {why}")
    own = {*(("spot",) if target.to_on_demand else ()), *(("disk_gib",) if target.disk_gib else ())}
    others = [row for row in plan.settings if row.name in KEPT and row.name not in own]
    if others:
        shown = ", ".join(f"{row.name}={row.old} (here: {row.new})" for row in others)
        raise CommandError(
            f"the machine was deployed with {shown}; write that into the context of cdk.json, so "
            "that it stays as it is, then run this again"
        )


def _lines(
    session: boto3.Session, plan: Plan, synthesized: SynthesizedStack, size: int
) -> list[str]:
    """What the deploy does beside the move, and the costs."""
    instance_type, gib = synthesized.machine
    place = session.client("cloudformation").meta.region_name
    costs = read_costs(session, place, instance_type, gib, HOURS_OF_A_MONTH)
    copy = f"{size * make.USD_PER_GIB_MONTH:.2f} USD per month at most, until you delete it"
    moved = ("image", "generation", "availability_zone")
    others = [f"  also {row}" for row in plan.settings if row.name not in moved]
    return [
        *(f"  {note}" for note in plan.notes),
        *others,
        *cost_lines(costs),
        f"  copy     {copy} (image of the {size} GiB disk)",
    ]
