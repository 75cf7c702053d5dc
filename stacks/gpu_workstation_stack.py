"""One GPU workstation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aws_cdk import Annotations, Duration, Size
from constructs import Construct

from gpustation import GpuWorkstation, ImageSource, Settings, SettingsReport
from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.names import WORKSTATION_DESCRIPTION, context_for
from gpustation.catalog.prices import CATALOG_DATE, VOLUME_PER_GIB
from gpustation.catalog.spot import SpotMode
from gpustation.settings.model import deployed
from gpustation.settings.rows import METADATA
from gpustation.settings.stops import what_stops
from gpustation.synth.acknowledge import acknowledge
from stacks.base import SCRIPTS, SettingsStack
from stacks.outputs import WorkstationCommands


class GpuWorkstationStack(SettingsStack):
    """A GPU machine with its network, quota check and access; a deploy returns when it is ready.

    Everything specific to one machine is in the scope ``Generation<n>``: a new generation is a new
    machine, created and verified before the old one is deleted. All other logical ids are stable.

    Args:
        scope: The app.
        construct_id: Id of the stack.
        report: The settings. Errors become annotations, which block a deploy but not
            ``cdk destroy``.
        scripts: The machine's scripts. Default: ``userdata/`` of this project.
        **kwargs: Passed on to ``Stack``, e.g. ``env``.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        report: SettingsReport,
        scripts: Path = SCRIPTS,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            scope,
            construct_id,
            report=report,
            description=WORKSTATION_DESCRIPTION,
            **kwargs,
        )
        settings = report.settings
        # CDK leaves this id out of logical ids and names
        workstation = GpuWorkstation(
            self,
            "Default",
            instance_type=settings.instance_type,
            framework=settings.framework,
            image=ImageSource(settings.image_of_name) if "image" in report.given else None,
            disk=Size.gibibytes(settings.disk_gib),
            availability_zone=(
                settings.availability_zone if "availability_zone" in report.given else None
            ),
            ssh_cidrs=settings.ssh_cidr,
            public_key=settings.public_key,
            notebooks=settings.notebooks,
            cuda_toolkit=settings.cuda_toolkit,
            role_credentials_for_users=settings.role_credentials_for_users,
            python_mirror=settings.python_mirror,
            idle_stop_minutes=settings.idle_stop_minutes,
            idle_stop_scratch_gib=settings.idle_stop_scratch_gib,
            stop_at=settings.stop_at,
            stop_at_patience=settings.stop_at_patience,
            monthly_budget_usd=settings.monthly_budget_usd,
            budget_email=settings.budget_email,
            capacity_check=settings.capacity_check,
            spot=settings.spot,
            generation=settings.generation,
            quota=settings.quota,
            ready_timeout=Duration.minutes(settings.ready_timeout_minutes),
            others=settings.locked_others(),
            scripts=scripts,
        )
        machine = workstation.machine
        # For `gpustation plan` of a later deploy; CloudFormation ignores it
        self.template_options.metadata = {
            METADATA: {
                "settings": deployed(settings, report.given),
                "scripts": machine.scripts_sha256[:12],
            }
        }
        if not report.faults:  # otherwise the type may be a default in place of an invalid value
            self._tell_cost(settings)
        self._add_outputs(
            WorkstationCommands(machine.instance_id, self.region, bool(settings.ssh_cidr)),
            {
                "InstanceId": (machine.instance_id, "The EC2 instance"),
                "AvailabilityZone": (workstation.choice.availability_zone, "Where it runs"),
                "ImageId": (workstation.choice.image_id, "The image it was started from"),
                "Quota": (workstation.check.message, "What the quota check found"),
                "Capacity": (workstation.choice.capacity, "Zones that were asked for room"),
                **(
                    {"SpendLimit": (workstation.limit.message, "Costs of this month at the deploy")}
                    if workstation.limit
                    else {}
                ),
                **(
                    {"DailyStop": (_daily_stop(settings), "When it is stopped every day")}
                    if settings.stop_at
                    else {}
                ),
                "Ready": (
                    workstation.ready["gpu"].data,
                    "What the machine reported when it was set up",
                ),
            },
        )

    def _tell_cost(self, settings: Settings) -> None:
        """The price before the deploy begins, and a warning if nothing stops the machine."""
        gpu_type, annotations = gpu_types()[settings.instance_type], Annotations.of(self)
        price = gpu_type.usd_per_hour
        cost = (
            f"{price * 24:.2f} USD per day (on-demand, us-east-1, {CATALOG_DATE})"
            if price
            else "a price that AWS publishes only in an offer"
        )
        if settings.spot is not SpotMode.FALSE:
            annotations.add_info(
                "spot: it costs at most what is said here, and usually less (`gpustation price`); "
                "if EC2 has none now, the deploy is rolled back: try spot=prefer or spot=false"
            )
        stops = what_stops(
            settings.idle_stop_minutes, settings.stop_at, settings.monthly_budget_usd
        )
        if not stops:
            annotations.add_warning_v2(
                "gpustation:nothingStopsIt",
                f"nothing stops this machine by itself: a {gpu_type.name} costs {cost} until you "
                f"run StopCommand or cdk destroy{context_for(settings.name)}",
            )
            return
        hourly = f"{price:g} USD per hour, " if price else ""
        disk = settings.disk_gib * VOLUME_PER_GIB["gp3"]
        annotations.add_info(
            f"a {gpu_type.name} costs {hourly}{cost} while it runs, and its disk {disk:.2f} USD "
            f"per month while it is stopped, too; it stops {stops}"
        )

    def _add_outputs(
        self, commands: WorkstationCommands, facts: dict[str, tuple[str, str]]
    ) -> None:
        outputs = {
            **facts,
            "SshCommand": (commands.ssh, f"A shell on the machine; {commands.needs}"),
            "JupyterCommand": (
                commands.jupyter,
                f"Prints Jupyter's address and holds the tunnel until Ctrl-C; {commands.needs}",
            ),
            "StopCommand": (commands.stop, "Stops the bill of the machine, not of its disk"),
            "StartCommand": (commands.start, "Starts the stopped machine"),
        }
        self.add_outputs(outputs)
        # The validation attributes findings about outputs to the stack
        acknowledge(
            self,
            {
                "CloudFormation-Validate::F6101": "the schema calls WaitCondition's Data an "
                "object; CloudFormation returns its JSON as text (user guide)"
            },
        )


def _daily_stop(settings: Settings) -> str:
    patience = settings.stop_at_patience
    return settings.stop_at + (f" (patience {patience} min)" if patience else "")
