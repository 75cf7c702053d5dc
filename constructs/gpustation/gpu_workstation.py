"""A complete GPU workstation in one construct, for use in any CDK app."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aws_cdk import Duration, Size, Token
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from gpustation.capacity_release import CapacityRelease
from gpustation.catalog.frameworks import Framework
from gpustation.catalog.quotas import QuotaMode
from gpustation.catalog.spot import SpotMode
from gpustation.gpu_instance import READY_STEPS, GpuInstance
from gpustation.image.source import ImageSource
from gpustation.image_choice import ImageChoice
from gpustation.quota_check import QuotaCheck
from gpustation.ready_signal import ReadySignal
from gpustation.settings.values import covers_the_world
from gpustation.synth.acknowledge import acknowledge, acknowledge_checkov
from gpustation.workstation_network import WorkstationNetwork

if TYPE_CHECKING:
    from gpustation.spend_limit import SpendLimit


class GpuWorkstation(Construct):
    """A GPU machine with its network, quota check, image choice and signals.

    A deploy returns when the machine has computed on its GPU. Everything specific to one machine
    is in the scope ``Generation<n>``: a new generation is a new machine, created and verified
    before the old one is deleted with its disk.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope.
        instance_type: EC2 GPU type. A change stops and starts the machine. Default:
            ``g4dn.xlarge``.
        framework: Framework to install. Default: MXNet.
        image: Image of a new machine. Default: an existing machine keeps its image; a new machine
            uses Ubuntu 24.04.
        disk: Size of the root disk, which is gp3 and encrypted. Default: 64 GiB.
        availability_zone: Name of a zone, or ``auto`` for a zone that offers the type. Ignored
            with ``subnet``. Default: an existing machine keeps its zone; a new machine uses
            ``auto``.
        ssh_cidrs: IPv4 networks that may connect to port 22. Not with ``security_group``.
            Default: none, so there is no inbound rule.
        public_key: OpenSSH public key line for the user ``ubuntu``. Default: none.
        notebooks: Install the book's notebooks. Default: true.
        cuda_toolkit: Install the CUDA toolkit with nvcc too. Default: false.
        role_credentials_for_users: Let every user of the machine use the credentials of its role.
            Default: false.
        python_mirror: URL of a mirror of python-build-standalone's releases. Default: none.
        idle_stop_minutes: Minutes in which nothing moves on the machine before it stops itself; 0
            turns it off. Default: 60.
        idle_stop_scratch_gib: GiB on ``/scratch`` above which an idle machine stops later; 0: it
            does not. Default: 0.
        stop_at: Time of day and zone at which the machine is stopped, e.g.
            ``22:00 Europe/Berlin``. Default: none.
        stop_at_patience: Minutes by which the machine may delay that stop. Default: 0.
        monthly_budget_usd: What the machines may cost in a calendar month, in USD at list price,
            before they are stopped (``SpendLimit``); 0: no limit. Default: 0.
        budget_email: Address that is told of the limit. Default: none.
        capacity_check: Ask zone after zone for room, and hold it for the machine, before it is
            launched or its type changes. Default: true.
        spot: Buy the machine on the spot market: EC2 may stop it after two minutes' notice, and
            starts it again when it can. Default: no.
        generation: 1 to 255; a different number creates a new machine. Default: 1.
        quota: Effect of a quota that is too small. Default: ``QuotaMode.ENFORCE``, the deploy
            fails before it creates anything that is billed.
        ready_timeout: How long a deploy waits for each step of the machine, up to 12 hours.
            Default: 30 minutes.
        others: See ``ImageChoice``.
        scripts: Folder with the machine's scripts. Default: those of this package.
        vpc: Network of the machine; requires ``subnet``. Default: a new VPC without a NAT gateway.
        subnet: Subnet of ``vpc`` with a route to the internet. Its zone must be known at synth and
            is the machine's zone. Default: a new subnet in the chosen zone.
        security_group: Security group of the machine; requires ``vpc``. Default: a new one.

    Attributes:
        check: The quota check.
        limit: The spend limit; ``None`` without one.
        choice: Image, root device and zone.
        ready: The signal of each of ``READY_STEPS``.
        machine: The instance.
        security_group: Its security group.

    Raises:
        ValueError: The type is not in the catalog or cannot run the framework, or the network
            arguments contradict each other.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        instance_type: str = "g4dn.xlarge",
        framework: Framework = Framework.MXNET,
        image: ImageSource | None = None,
        disk: Size | None = None,
        availability_zone: str | None = None,
        ssh_cidrs: Iterable[str] = (),
        public_key: str = "",
        notebooks: bool = True,
        cuda_toolkit: bool = False,
        role_credentials_for_users: bool = False,
        python_mirror: str = "",
        idle_stop_minutes: int = 60,
        idle_stop_scratch_gib: int = 0,
        stop_at: str = "",
        stop_at_patience: int = 0,
        monthly_budget_usd: int = 0,
        budget_email: str = "",
        capacity_check: bool = True,
        spot: SpotMode = SpotMode.FALSE,
        generation: int = 1,
        quota: QuotaMode = QuotaMode.ENFORCE,
        ready_timeout: Duration | None = None,
        others: Mapping[str, tuple[str, str]] | None = None,
        scripts: Path | None = None,
        vpc: ec2.IVpc | None = None,
        subnet: ec2.ISubnet | None = None,
        security_group: ec2.ISecurityGroup | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        cidrs = tuple(ssh_cidrs)
        _require_whole_network(vpc, subnet, security_group, cidrs)
        timeout = ready_timeout or Duration.minutes(30)
        self.check = QuotaCheck(
            self,
            "QuotaCheck",
            instance_type=instance_type,
            framework=framework,
            generation=generation,
            spot=spot,
            mode=quota,
            with_price=True,
        )
        size = disk or Size.gibibytes(64)
        self.limit = _make_limit(
            self, monthly_budget_usd, budget_email, instance_type, size, generation
        )
        network = None if vpc else WorkstationNetwork(self, "Network", ssh_cidrs=cidrs)
        self.security_group = security_group or (
            network.security_group if network else _closed_group(self, vpc, cidrs)
        )
        if covers_the_world(cidrs):
            _acknowledge_world_access(self.security_group)
        of_machine = Construct(self, f"Generation{generation}")
        templates = _market_templates(of_machine, spot, generation)
        self.choice = ImageChoice(
            of_machine,
            "ImageChoice",
            instance_type=instance_type,
            image=image,
            framework=framework,
            disk=disk,
            availability_zone=subnet.availability_zone if subnet else availability_zone,
            ready_timeout=timeout,
            generation=generation,
            capacity_check=capacity_check,
            spot=spot,
            templates=(templates[0], templates[1]) if len(templates) == 2 else None,
            others=others,
        )
        # Report a quota that is too small before other errors
        self.choice.node.add_dependency(self.check)
        if self.limit:
            self.limit.check.node.add_dependency(self.check)
            self.choice.node.add_dependency(self.limit.check)
        if security_group is None:
            # A deploy that the choice refuses must not change the rules
            self.security_group.node.add_dependency(self.choice)
        if network:
            vpc = network.vpc
            subnet = network.add_subnet(
                of_machine,
                "Subnet",
                number=generation,
                availability_zone=self.choice.availability_zone,
            )
        assert vpc and subnet
        names = {step: f"{step.capitalize()}Ready" for step in READY_STEPS}
        self.ready = {
            step: ReadySignal(of_machine, name, timeout=timeout) for step, name in names.items()
        }
        self.machine = GpuInstance(
            of_machine,
            "Machine",
            vpc=vpc,
            subnet=subnet,
            security_group=self.security_group,
            instance_type=instance_type,
            choice=self.choice,
            scripts=scripts or own_scripts(),
            ready=self.ready,
            notice=self.limit.notice.ref if self.limit else "",
            generation=generation,
            framework=framework,
            public_key=public_key,
            notebooks=notebooks,
            cuda_toolkit=cuda_toolkit,
            role_credentials_for_users=role_credentials_for_users,
            python_mirror=python_mirror,
            idle_stop_minutes=idle_stop_minutes,
            idle_stop_scratch_gib=idle_stop_scratch_gib,
            stop_at=stop_at,
            stop_at_patience=stop_at_patience,
            spot=spot is not SpotMode.FALSE,
            usd_per_hour=self.check.usd_per_hour,
            price_of=self.check.price_of,
        )
        self.machine.instance.instance.node.add_dependency(self.check)
        if templates:
            self._buy_on_spot_market(of_machine, templates, generation)
        if capacity_check and spot is not SpotMode.TRUE:
            self._hold_briefly(network)
            release = CapacityRelease(
                of_machine,
                "CapacityRelease",
                choice=self.choice,
                instance_id=self.machine.instance_id,
                instance_type=instance_type,
                generation=generation,
            )
            release.node.add_dependency(self.machine.instance)
        if stop_at:
            # Scheduler's constructs are a part of a second of every synth that does not need them
            from gpustation.daily_stop import DailyStop

            DailyStop(
                of_machine,
                "DailyStop",
                instance_id=self.machine.instance_id,
                stop_at=stop_at,
                patience=stop_at_patience,
                # Rules of allow-my-ip are in a group of this stack only
                security_group=None if security_group else self.security_group,
            )
        if self.limit:
            self.limit.count(of_machine, self.machine.instance_id, self.machine.instance)

    def _buy_on_spot_market(
        self, of_machine: Construct, templates: tuple[str, ...], generation: int
    ) -> None:
        from gpustation.spot_request import VERSION, SpotRequest

        resource = self.machine.instance.instance
        resource.launch_template = ec2.CfnInstance.LaunchTemplateSpecificationProperty(
            launch_template_id=templates[0] if len(templates) == 1 else self.choice.launch_template,
            version=VERSION,
        )
        request = SpotRequest(
            of_machine,
            "SpotRequest",
            instance_id=self.machine.instance_id,
            generation=generation,
        )
        request.node.add_dependency(self.machine.instance)

    def _hold_briefly(self, network: WorkstationNetwork | None) -> None:
        """Creates what takes long before the choice: what it holds is billed until the launch."""
        instance = self.machine.instance
        self.choice.node.add_dependency(instance.node.find_child("InstanceProfile"))
        if network:
            self.choice.node.add_dependency(network.internet_gateway)


def _market_templates(scope: Construct, spot: SpotMode, generation: int) -> tuple[str, ...]:
    """Ids of the launch templates of a machine: that of spot, and of on-demand with a choice."""
    if spot is SpotMode.FALSE:
        return ()
    # Most synths need none of it
    from gpustation.spot_request import MarketTemplate

    names = {"SpotTemplate": True}
    if spot is SpotMode.PREFER:
        names["OnDemandTemplate"] = False
    return tuple(
        MarketTemplate(scope, name, spot=is_spot, generation=generation).template_id
        for name, is_spot in names.items()
    )


def _make_limit(
    scope: Construct,
    usd_per_month: int,
    email: str,
    instance_type: str,
    disk: Size,
    generation: int,
) -> SpendLimit | None:
    if not usd_per_month:
        return None
    # Its services are a second of every synth that does not need them
    from gpustation.spend_limit import SpendLimit

    return SpendLimit(
        scope,
        "SpendLimit",
        usd_per_month=usd_per_month,
        instance_type=instance_type,
        disk_gib=int(disk.to_gibibytes()),
        generation=generation,
        email=email,
    )


def own_scripts() -> Path:
    """Folder of the machine's scripts: in the installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    inside = package / "userdata"
    return inside if inside.is_dir() else package.parents[1] / "userdata"


def _require_whole_network(
    vpc: ec2.IVpc | None,
    subnet: ec2.ISubnet | None,
    security_group: ec2.ISecurityGroup | None,
    cidrs: tuple[str, ...],
) -> None:
    if bool(vpc) != bool(subnet):
        raise ValueError("pass vpc and subnet together, or neither of them for a new network")
    if security_group and not vpc:
        raise ValueError("pass security_group only with the vpc that it belongs to")
    if security_group and cidrs:
        raise ValueError("pass ssh_cidrs or security_group, whose rules are yours, but not both")
    if subnet and Token.is_unresolved(subnet.availability_zone):
        raise ValueError(
            "subnet must be in a zone whose name is known at synth: import it with "
            "Subnet.from_subnet_attributes(..., availability_zone='us-east-1a')"
        )


def _closed_group(
    scope: Construct, vpc: ec2.IVpc | None, cidrs: tuple[str, ...]
) -> ec2.SecurityGroup:
    assert vpc
    group = ec2.SecurityGroup(scope, "SecurityGroup", vpc=vpc, description="GPU workstation")
    for cidr in cidrs:
        group.add_ingress_rule(ec2.Peer.ipv4(cidr), ec2.Port.tcp(22), f"SSH from {cidr}")
    return group


def _acknowledge_world_access(security_group: ec2.ISecurityGroup) -> None:
    reason = "the person said allow_world_ssh=true; keys alone open the door"
    acknowledge(
        security_group,
        {
            "AwsSolutions::AwsSolutions-EC23": reason,
            "CloudFormation-Validate::W2508": reason,
        },
    )
    acknowledge_checkov(security_group, {"CKV_AWS_24": reason})
