"""A machine on EC2's spot market, whose request ends before the machine does."""

from __future__ import annotations

from aws_cdk import CfnTag, CustomResource, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from gpustation.catalog.capacity import GENERATION_TAG
from gpustation.catalog.names import OWNER_TAG
from gpustation.catalog.spot import SPOT_TAG, VALID_UNTIL
from gpustation.synth.acknowledge import acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.custom_resource_function import RESPONSE_TIMEOUT, CustomResourceFunction

VERSION = "1"
"""An instance names this version literally: another one would replace it."""


class MarketTemplate(Construct):
    """Launch template that says how an instance is bought, and nothing else.

    All its bytes are constant during the life of a machine, because an instance with another
    launch template is another instance. An on-demand machine has one only if the choice between
    both is made at its creation.

    Args:
        scope: Construct that owns this one: the generation of the machine.
        construct_id: ID unique within the scope.
        spot: True for a persistent spot request, whose machine is stopped when it is interrupted.
        generation: Number of the machine, in the request's tags.

    Attributes:
        template_id: Id of the launch template.
    """

    def __init__(self, scope: Construct, construct_id: str, *, spot: bool, generation: int) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        owner = CfnTag(key=OWNER_TAG, value=stack.stack_name)
        of_request = [
            owner,
            CfnTag(key=SPOT_TAG, value=stack.stack_id),
            CfnTag(key=GENERATION_TAG, value=str(generation)),
        ]
        template = ec2.CfnLaunchTemplate
        data = (
            template.LaunchTemplateDataProperty(
                instance_market_options=template.InstanceMarketOptionsProperty(
                    market_type="spot",
                    spot_options=template.SpotOptionsProperty(
                        instance_interruption_behavior="stop",
                        spot_instance_type="persistent",
                        valid_until=VALID_UNTIL,
                    ),
                ),
                tag_specifications=[
                    template.TagSpecificationProperty(
                        resource_type="spot-instances-request", tags=of_request
                    )
                ],
            )
            if spot
            # EC2's own default, which a capacity hold relies on: a template must say something
            else template.LaunchTemplateDataProperty(
                capacity_reservation_specification=(
                    template.CapacityReservationSpecificationProperty(
                        capacity_reservation_preference="open"
                    )
                )
            )
        )
        resource = ec2.CfnLaunchTemplate(
            self,
            "Resource",
            launch_template_data=data,
            tag_specifications=[
                template.LaunchTemplateTagSpecificationProperty(
                    resource_type="launch-template", tags=[owner]
                )
            ],
        )
        reason = "the instance itself requires tokens; the template says only how it is bought"
        acknowledge_checkov(resource, {"CKV_AWS_79": reason})
        self.template_id = resource.ref


class SpotRequest(Construct):
    """Cancels the machine's spot request before the machine is deleted.

    A persistent request whose instance is terminated launches another one, which nothing ends. So
    it must depend on the instance (``node.add_dependency``), and is deleted before it. If the
    request cannot be cancelled for some minutes, the deletion of the stack fails and says what to
    do; it cannot hold the machine, as CloudFormation goes on after a failed Delete.

    Args:
        scope: Construct that owns this one: the generation of the machine.
        construct_id: ID unique within the scope.
        instance_id: Id of the machine.
        generation: Number of the machine, as in ``MarketTemplate``.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, instance_id: str, generation: int
    ) -> None:
        super().__init__(scope, construct_id)
        function = CustomResourceFunction.of(
            self,
            "SpotRequestHandler",
            module="spot_request",
            description="Cancels the spot request of a GPU machine before the machine is deleted",
        )
        allow_cancelling(function)
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::SpotRequest",
            service_timeout=RESPONSE_TIMEOUT,
            properties={"InstanceId": instance_id, "Generation": str(generation)},
        )


def allow_cancelling(function: CustomResourceFunction) -> None:
    """Allows to cancel spot requests of the function's stack."""
    stack = Stack.of(function)
    function.allow(
        "CancelOwnRequests",
        ["ec2:CancelSpotInstanceRequests"],
        [stack.format_arn(service="ec2", resource="spot-instances-request", resource_name="*")],
        {"StringEquals": {f"aws:ResourceTag/{SPOT_TAG}": stack.stack_id}},
    )
    acknowledge_wildcards(
        function.role,
        {
            "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:spot-instances-request/*": (
                "CancelOwnRequests: EC2 gives a request its id; the condition allows those of this "
                "stack only"
            )
        },
    )
    function.allow_on_all(
        "ReadRequests",
        ["ec2:DescribeSpotInstanceRequests"],
        "EC2's Describe actions take no resource (service authorization reference)",
    )
