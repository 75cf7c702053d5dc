"""Chooses image, root device and zone of a machine at deploy time, once."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import CustomResource, Duration, Size, Stack
from constructs import Construct

from gpustation.catalog.frameworks import Framework
from gpustation.catalog.gpu_types import require_type
from gpustation.catalog.images import DEFAULT_IMAGE, image_parameter
from gpustation.image.source import ImageSource
from gpustation.synth.custom_resource_function import ANSWER_TIMEOUT, CustomResourceFunction


class ImageChoice(Construct):
    """Image, root device and zone of one machine, resolved at Create and the same ever after.

    These are create-only on an instance: a "latest" AMI parameter would replace the machine and
    lose its disk on some later deploy. A changed argument (all but the instance type) is refused
    at deploy time with the line that builds a new generation.

    Args:
        scope: Construct that owns this one; one per machine.
        construct_id: ID unique within the scope. Another path means another machine.
        instance_type: EC2 GPU type that the zone must offer.
        image: What a new machine starts from. Default: the image that the machine has; a new
            machine starts from Ubuntu 24.04.
        framework: Framework of the baked image that ``ImageSource.baked()`` means. Default: MXNet.
        disk: Root disk, at least the image's snapshot. Default: 64 GiB.
        availability_zone: Name of a zone, or ``auto``. Default: ``None``, where the machine is;
            for a new one ``auto``, an ordinary zone that offers the type.
        ready_timeout: How long the machine's wait conditions wait: they cannot be changed, so a
            change of it is a new machine too. Default: 30 minutes.
        generation: Number of the machine, for the text of a refusal. Default: 1.
        others: Other settings that are the machine's for life, by name: its value, and the value
            that machines have which were made before there was such a setting. Default: none.

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
        # What is not given is not rendered: another default is no change of a machine
        given = {"Image": image_name, "AvailabilityZone": availability_zone}
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::ImageChoice",
            service_timeout=ANSWER_TIMEOUT,
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
        self.image_id = self.resource.get_att_string("ImageId")
        self.root_device_name = self.resource.get_att_string("RootDeviceName")
        self.availability_zone = self.resource.get_att_string("AvailabilityZone")

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


def _others(settings: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    if not settings:
        return {}
    return {
        "Others": {name: value for name, (value, _) in settings.items()},
        "Before": {name: before for name, (_, before) in settings.items()},
    }


def _parameter_arn(scope: Construct, name: str) -> str:
    """Public parameters belong to no account; the name carries the slash of the ARN."""
    stack = Stack.of(scope)
    account = "" if name.startswith("/aws/") else stack.account
    return f"arn:{stack.partition}:ssm:{stack.region}:{account}:parameter{name}"
