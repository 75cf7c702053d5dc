"""Ends the capacity hold of a machine once the machine exists."""

from __future__ import annotations

from aws_cdk import CustomResource
from constructs import Construct

from gpustation.image_choice import ImageChoice
from gpustation.synth.custom_resource_function import RESPONSE_TIMEOUT


class CapacityRelease(Construct):
    """Cancels the reservation that an image choice made to hold room for a machine.

    It must depend on the instance (``node.add_dependency``). It runs again when the type changes,
    which is when another hold may have been made. It never fails a deploy: a hold that is not
    cancelled ends by itself.

    Args:
        scope: Construct that owns this one: the generation of the machine.
        construct_id: ID unique within the scope.
        choice: The choice, with ``capacity_check``.
        instance_id: Id of the machine.
        instance_type: EC2 type of the machine.
        generation: Number of the machine. Default: 1.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        choice: ImageChoice,
        instance_id: str,
        instance_type: str,
        generation: int = 1,
    ) -> None:
        super().__init__(scope, construct_id)
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=choice.service_token,
            resource_type="Custom::CapacityRelease",
            service_timeout=RESPONSE_TIMEOUT,
            properties={
                "InstanceType": instance_type,
                "Generation": str(generation),
                "Hold": choice.hold,
                "InstanceId": instance_id,
            },
        )
