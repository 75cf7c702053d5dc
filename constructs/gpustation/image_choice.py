"""Resolves image, root device and zone of a machine once, at deploy time."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import CustomResource, Duration, Size, Stack
from constructs import Construct

from gpustation.catalog.capacity import HOLD_TAG
from gpustation.catalog.frameworks import Framework
from gpustation.catalog.gpu_types import require_type
from gpustation.catalog.images import DEFAULT_IMAGE, image_parameter
from gpustation.catalog.spot import SpotMode
from gpustation.image.source import ImageSource
from gpustation.synth.acknowledge import acknowledge_wildcards
from gpustation.synth.custom_resource_function import RESPONSE_TIMEOUT, CustomResourceFunction


class ImageChoice(Construct):
    """Image, root device and zone of one machine, resolved at creation and constant afterwards.

    These properties are create-only on an instance: with a "latest" AMI parameter, a later deploy
    would replace the machine and lose its disk. A deploy that changes an argument other than
    ``instance_type`` fails with the setting that creates a new generation.

    Args:
        scope: Construct that owns this one; one per machine.
        construct_id: ID unique within the scope. A different path creates a new machine.
        instance_type: EC2 GPU type that the zone must offer.
        image: Image of a new machine. Default: an existing machine keeps its image; a new machine
            uses Ubuntu 24.04.
        framework: Framework, which also selects the image of ``ImageSource.baked()``. Default:
            MXNet.
        disk: Size of the root disk, at least that of the image's snapshot. Default: 64 GiB.
        availability_zone: Name of a zone, or ``auto`` for a standard zone that offers the type.
            Default: an existing machine keeps its zone; a new machine uses ``auto``.
        ready_timeout: Timeout of the machine's wait conditions. These cannot be updated, so a
            change needs a new machine. Default: 30 minutes.
        generation: Number of the machine, for error messages. Default: 1.
        capacity_check: Hold room for the machine in the zone, by an open capacity reservation that
            is billed as the machine is until ``CapacityRelease`` ends it: 20 to 60 seconds of its
            price. Zone after zone is asked; the deploy fails if none has room. Default: ``None``,
            for a machine that CloudFormation does not launch; the zone is not asked.
        spot: Whether the machine is a spot machine. Default: no.
        templates: Launch templates of both markets, spot first, for ``SpotMode.PREFER``. Default:
            none.
        others: Further settings that cannot change during the life of a machine, by name: the
            value, and the value assumed for machines created before the setting existed. Default:
            none.

    Raises:
        ValueError: The type is not in the catalog.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        instance_type: str,
        image: ImageSource | None = None,
        framework: Framework = Framework.MXNET,
        disk: Size | None = None,
        availability_zone: str | None = None,
        ready_timeout: Duration | None = None,
        generation: int = 1,
        capacity_check: bool | None = None,
        spot: SpotMode = SpotMode.FALSE,
        templates: tuple[str, str] | None = None,
        others: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        require_type(instance_type)
        self.disk = disk or Size.gibibytes(64)
        ready_timeout = ready_timeout or Duration.minutes(30)
        function = CustomResourceFunction.of(
            self,
            "ImageChoiceHandler",
            module="image_choice",
            description="Chooses image, root device and zone of a GPU machine",
        )
        image_name = image.name if image else None
        framework = Framework(framework)
        self._allow_reading(function, image_parameter(image_name or DEFAULT_IMAGE, framework))
        if capacity_check:
            self._allow_holding(function)
        if spot is not SpotMode.FALSE:
            self._allow_spot(function)
        spot_template, on_demand_template = templates or (None, None)
        # Omit properties that are not given, so that a new default does not change a machine
        given = {
            "Image": image_name,
            "AvailabilityZone": availability_zone,
            "CapacityCheck": None if capacity_check is None else str(capacity_check).lower(),
            "Spot": None if spot is SpotMode.FALSE else spot.value,
            "SpotTemplate": spot_template,
            "OnDemandTemplate": on_demand_template,
        }
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::ImageChoice",
            service_timeout=RESPONSE_TIMEOUT,
            properties={
                "InstanceType": instance_type,
                "Framework": framework.value,
                "DiskGib": str(self.disk.to_gibibytes()),
                **{name: value for name, value in given.items() if value is not None},
                "ReadyTimeoutMinutes": str(ready_timeout.to_minutes()),
                "Generation": str(generation),
                **_others(others or {}),
            },
        )
        self.service_token = function.function_arn
        """ARN of the function, which serves ``CapacityRelease`` too."""
        self.image_id = self.resource.get_att_string("ImageId")
        self.root_device_name = self.resource.get_att_string("RootDeviceName")
        self.availability_zone = self.resource.get_att_string("AvailabilityZone")
        self.capacity = self.resource.get_att_string("Capacity")
        """What was found about room for the machine; only with ``capacity_check``."""
        self.launch_template = self.resource.get_att_string("LaunchTemplate")
        """Id of the launch template that was chosen; only with ``templates``."""
        self.hold = self.resource.get_att_string("Hold")
        """Id of the reservation that holds the room, or ``none``; only with ``capacity_check``."""

    def _allow_reading(self, function: CustomResourceFunction, parameter: str | None) -> None:
        function.allow_on_all(
            "ReadImagesAndZones",
            [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeImages",
                "ec2:DescribeInstanceTypeOfferings",
            ],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        if parameter is not None:
            function.allow("ReadImageId", ["ssm:GetParameter"], [_parameter_arn(self, parameter)])

    def _allow_spot(self, function: CustomResourceFunction) -> None:
        # Its module is loaded by machines with the setting alone
        from gpustation.spot_request import allow_cancelling

        allow_cancelling(function)
        function.allow_on_all(
            "ReadSpotMarket",
            [
                "ec2:DescribeInstances",
                "ec2:DescribeSpotPriceHistory",
                "ec2:GetSpotPlacementScores",
            ],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        _allow_reading_quota(function)

    def _allow_holding(self, function: CustomResourceFunction) -> None:
        stack = Stack.of(self)
        reservations = stack.format_arn(
            service="ec2", resource="capacity-reservation", resource_name="*"
        )
        # EC2 knows no condition on type, number or end date: the code asks for one machine
        function.allow(
            "HoldCapacity",
            ["ec2:CreateCapacityReservation"],
            [reservations],
            {"StringEquals": {f"aws:RequestTag/{HOLD_TAG}": stack.stack_id}},
        )
        function.allow(
            "MarkHold",
            ["ec2:CreateTags"],
            [reservations],
            {"StringEquals": {"ec2:CreateAction": "CreateCapacityReservation"}},
        )
        function.allow(
            "ReleaseHold",
            ["ec2:CancelCapacityReservation"],
            [reservations],
            {"StringEquals": {f"aws:ResourceTag/{HOLD_TAG}": stack.stack_id}},
        )
        acknowledge_wildcards(
            function.role,
            {
                "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:capacity-reservation/*": (
                    "HoldCapacity, MarkHold, ReleaseHold: EC2 gives a reservation its id; the "
                    "conditions allow those of this stack only"
                )
            },
        )
        function.allow_on_all(
            "ReadUse",
            ["ec2:DescribeCapacityReservations", "ec2:DescribeInstances"],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        _allow_reading_quota(function)
        function.allow("ReadStack", ["cloudformation:DescribeStacks"], [stack.stack_id])


def _allow_reading_quota(function: CustomResourceFunction) -> None:
    function.allow_on_all(
        "ReadQuota",
        ["servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"],
        "Service Quotas' reading actions take no resource, only the requesting one does",
    )


def _others(settings: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    if not settings:
        return {}
    return {
        "Others": {name: value for name, (value, _) in settings.items()},
        "Before": {name: before for name, (_, before) in settings.items()},
    }


def _parameter_arn(scope: Construct, name: str) -> str:
    """ARN of an SSM parameter; public parameters have no account id in theirs."""
    stack = Stack.of(scope)
    account = "" if name.startswith("/aws/") else stack.account
    return f"arn:{stack.partition}:ssm:{stack.region}:{account}:parameter{name}"
