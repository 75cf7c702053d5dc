"""An EC2 GPU instance that installs a deep-learning environment and signals its readiness."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jsii
from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from gpustation.catalog.frameworks import DRIVER_BRANCH, Framework
from gpustation.catalog.gpu_types import require_fitting
from gpustation.catalog.names import REPORTS
from gpustation.catalog.prices import CATALOG_ORIGIN
from gpustation.image_choice import ImageChoice
from gpustation.ready_signal import ReadySignal
from gpustation.synth.acknowledge import acknowledge, acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.archives import scripts_tar
from gpustation.synth.file_asset import FileAsset
from gpustation.synth.name_tag import tag_name
from gpustation.synth.session_manager import SESSION_MANAGER_ACTIONS, WRITES_BY_NO_RESOURCE
from gpustation.synth.user_data import render_user_data

READY_STEPS = ("driver", "environment", "gpu")
"""Steps that the machine signals, in order."""

NO_REPORT = "{}"
"""Value of the report in the template. It never changes: CloudFormation would overwrite the
machine's report with another value."""


class GpuInstance(Construct):
    """EC2 instance with a GPU, without inbound access by default, set up by ``userdata/``.

    The user data is constant for the life of the instance. It contains the name of an SSM
    parameter with the settings and the location and hash of the scripts, which the machine reads
    at every boot. So new scripts or settings do not stop, restart or replace the instance.
    The machine may write one other parameter, its report, which whoever reads it must treat as text
    of others.
    There is no EC2 key pair, because all its properties are create-only: the public key is one of
    the settings in the parameter.

    Args:
        scope: Construct that owns this one. A different path creates a new machine.
        construct_id: ID unique within the scope.
        vpc: Network of the machine.
        subnet: Subnet with a route to the internet, in the zone of ``choice``.
        security_group: Security group of the instance.
        instance_type: EC2 GPU type. A change stops and starts the instance and keeps its disk.
        choice: Image, root device, disk and zone.
        scripts: Folder with the machine's scripts, with ``run.sh`` and ``bootstrap/``.
        ready: A signal for each of ``READY_STEPS``. Their wait starts when this instance exists.
        notice: Name of the parameter with what a spend limit found, which it shows at login.
            Default: none.
        generation: Number of the machine, reported by its scripts. Default: 1.
        framework: Framework to install. Default: MXNet.
        public_key: OpenSSH public key line for the user ``ubuntu``. Default: none.
        notebooks: Install D2L's notebooks. Default: true.
        cuda_toolkit: Install the CUDA toolkit with nvcc too. Default: false.
        role_credentials_for_users: Let every user of the machine reach the instance metadata
            service, and so use the credentials of its role. Default: false.
        python_mirror: URL of a mirror for Python builds, used if the system has no Python for the
            framework. Default: none, releases.astral.sh or github.com.
        idle_stop_minutes: Minutes in which nothing moves on the machine before it stops itself; 0
            turns it off. Default: 60.
        idle_stop_scratch_gib: GiB on ``/scratch`` above which an idle machine stops only when it
            would with somebody logged in; 0: it makes no difference. Default: 0.
        stop_at: Time of day and zone at which the machine stops itself, e.g.
            ``22:00 Europe/Berlin``. Default: none.
        stop_at_patience: Minutes by which work or a request may delay that. Default: 0.
        spot: Whether EC2 may interrupt the machine, so that it watches for the notice. Default:
            false.
        usd_per_hour: Price that the machine shows at login, in USD per hour, as text. Default: the
            catalog's, which is that of us-east-1.
        price_of: Source, date and region of that price. Default: those of the catalog's.

    Raises:
        ValueError: The type is not in the catalog or cannot run the framework, ``ready`` lacks a
            step, or the public key contains a dynamic reference.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        vpc: ec2.IVpc,
        subnet: ec2.ISubnet,
        security_group: ec2.ISecurityGroup,
        instance_type: str,
        choice: ImageChoice,
        scripts: Path,
        ready: Mapping[str, ReadySignal],
        notice: str = "",
        generation: int = 1,
        framework: Framework = Framework.MXNET,
        public_key: str = "",
        notebooks: bool = True,
        cuda_toolkit: bool = False,
        role_credentials_for_users: bool = False,
        python_mirror: str = "",
        idle_stop_minutes: int = 60,
        idle_stop_scratch_gib: int = 0,
        stop_at: str = "",
        stop_at_patience: int = 0,
        spot: bool = False,
        usd_per_hour: str = "",
        price_of: str = CATALOG_ORIGIN,
    ) -> None:
        super().__init__(scope, construct_id)
        gpu_type = require_fitting(instance_type, framework)
        if set(ready) != set(READY_STEPS):
            raise ValueError(f"ready must have the steps {', '.join(READY_STEPS)}, got {[*ready]}")
        if "{{" in public_key:
            raise ValueError(
                "public_key must not contain {{, which CloudFormation resolves in a template; pass "
                "the value that read_settings returns"
            )
        asset = FileAsset.of_bytes(
            self, name="Scripts", suffix=".tar", content=scripts_tar(scripts)
        )
        self.scripts_sha256 = asset.sha256
        self.report = ssm.CfnParameter(
            self,
            "Report",
            type="String",
            description="What the GPU machine says about itself, e.g. its SSH host keys",
            value=NO_REPORT,
        )
        self.report.name = f"{REPORTS}/{Stack.of(self).stack_name}/{self.report.logical_id}"
        self.settings = ssm.CfnParameter(
            self,
            "Settings",
            type="String",
            description="What the GPU machine reads at every boot",
            value=Stack.of(self).to_json_string(
                {
                    "stack": Stack.of(self).stack_name,
                    "generation": generation,
                    "framework": Framework(framework).value,
                    "instance_type": gpu_type.name,
                    "usd_per_hour": usd_per_hour or gpu_type.usd_per_hour or "",
                    "price_of": price_of,
                    "gpus": gpu_type.gpus,
                    "driver_kind": gpu_type.driver,
                    "driver_branch": f"{DRIVER_BRANCH}-server",
                    "fabric_manager": gpu_type.nvswitch,
                    "public_key": public_key,
                    "notebooks": notebooks,
                    "cuda_toolkit": cuda_toolkit,
                    "role_credentials_for_users": role_credentials_for_users,
                    "python_mirror": python_mirror,
                    "idle_stop_minutes": idle_stop_minutes,
                    "idle_stop_scratch_gib": idle_stop_scratch_gib,
                    "stop_at": stop_at,
                    "stop_at_patience": stop_at_patience,
                    "report": self.report.ref,
                    "limited": bool(notice),
                    "spot": spot,
                    "scripts": {
                        "bucket": asset.bucket_name,
                        "key": asset.object_key,
                        "sha256": asset.sha256,
                    },
                }
            ),
        )
        self.role = self._make_role(asset, notice)
        # Whatever an update may change depends on the choice, which refuses an invalid update
        # before anything is changed. Role and instance profile do not depend on it: they never
        # change, and creating a profile takes minutes.
        self.settings.node.add_dependency(choice)
        self.report.node.add_dependency(choice)
        self.role.node.find_child("DefaultPolicy").node.add_dependency(choice)
        self.instance = ec2.Instance(
            self,
            "Instance",
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnets=[subnet]),
            security_group=security_group,
            instance_type=ec2.InstanceType(gpu_type.name),
            machine_image=_ChosenImage(choice),
            block_devices=[
                ec2.BlockDevice(
                    device_name=choice.root_device_name,
                    volume=ec2.BlockDeviceVolume.ebs(
                        int(choice.disk.to_gibibytes()),
                        encrypted=True,
                        volume_type=ec2.EbsDeviceVolumeType.GP3,
                        delete_on_termination=True,
                    ),
                )
            ],
            role=self.role,
            user_data=ec2.UserData.custom(
                render_user_data(scripts / "bootstrap", self._bootstrap_variables(ready))
            ),
            # Not require_imdsv2, which creates a launch template, a create-only property
            http_tokens=ec2.HttpTokens.REQUIRED,
            http_put_response_hop_limit=1,
            instance_initiated_shutdown_behavior=ec2.InstanceInitiatedShutdownBehavior.STOP,
            propagate_tags_to_volume_on_creation=True,
        )
        acknowledge(
            self.instance,
            {
                "AwsSolutions::AwsSolutions-EC28": "detailed monitoring costs and shows the CPU; "
                "the GPU is what matters here, and it is not in it",
                "AwsSolutions::AwsSolutions-EC29": "cdk destroy must be able to end the machine "
                "and its bill; stack termination protection is there for who wants it",
            },
        )
        tag_name(self.instance)
        # Not of its profile, which takes minutes and needs none of it
        self.instance.instance.node.add_dependency(subnet.internet_connectivity_established)
        for signal in ready.values():
            signal.wait_for(self.instance)

    @property
    def instance_id(self) -> str:
        """Id of the EC2 instance."""
        return self.instance.instance_id

    def _bootstrap_variables(self, ready: Mapping[str, ReadySignal]) -> dict[str, str]:
        signals = {f"SIGNAL_{step.upper()}": ready[step].url for step in READY_STEPS}
        return {
            "REGION": Stack.of(self).region,
            "SETTINGS_PARAMETER": self.settings.ref,
            **signals,
        }

    def _make_role(self, asset: FileAsset, notice: str) -> iam.Role:
        """Role for Session Manager, the parameters and the archive of the scripts.

        Written by hand because ``grant_read`` would grant access to the whole bucket.
        """
        stack = Stack.of(self)

        def arn_of(name: str) -> str:
            return stack.format_arn(
                service="ssm", resource=name, arn_format=ArnFormat.NO_RESOURCE_NAME
            )

        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        statements = {
            "SessionManager": ([*SESSION_MANAGER_ACTIONS], "*"),
            "ReadSettings": (["ssm:GetParameter"], arn_of(f"parameter/{self.settings.ref}")),
            "WriteReport": (["ssm:PutParameter"], arn_of(f"parameter{self.report.ref}")),
            **(
                {"ReadNotice": (["ssm:GetParameter"], arn_of(f"parameter{notice}"))}
                if notice
                else {}
            ),
            "ReadScripts": (
                ["s3:GetObject"],
                f"arn:{stack.partition}:s3:::{asset.bucket_name}/{asset.object_key}",
            ),
        }
        for sid, (actions, resource) in statements.items():
            role.add_to_policy(iam.PolicyStatement(sid=sid, actions=actions, resources=[resource]))
        acknowledge_wildcards(
            role,
            {
                "*": "SessionManager: these actions take no resource (service authorization "
                "reference)"
            },
        )
        acknowledge_checkov(
            role.node.find_child("DefaultPolicy"), {"CKV_AWS_111": WRITES_BY_NO_RESOURCE}
        )
        return role


@jsii.implements(ec2.IMachineImage)
class _ChosenImage:
    """Machine image whose id is resolved by an image choice at deploy time."""

    def __init__(self, choice: ImageChoice) -> None:
        self._image_id = choice.image_id

    @jsii.member(jsii_name="getImage")
    def get_image(self, _scope: Construct) -> ec2.MachineImageConfig:
        return ec2.MachineImageConfig(
            image_id=self._image_id,
            os_type=ec2.OperatingSystemType.LINUX,
            user_data=ec2.UserData.for_linux(),
        )
