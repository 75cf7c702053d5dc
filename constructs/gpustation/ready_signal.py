"""Wait condition that a machine signals when a step of its set-up is done."""

from __future__ import annotations

from aws_cdk import CfnWaitCondition, CfnWaitConditionHandle, Duration, Fn
from constructs import Construct, IDependable


class ReadySignal(Construct):
    """Wait condition for one step of a machine's set-up.

    CloudFormation emits an event for a completed wait condition, but not for a single signal. With
    a condition per step, ``cdk deploy`` prints each step as it completes, and a failure's reason.

    Neither handle nor condition can be updated: a new machine needs a new ``ReadySignal``.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. ``cdk deploy`` prints it.
        timeout: How long the deploy waits, up to 12 hours. Default: 30 minutes.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, timeout: Duration | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        self._handle = CfnWaitConditionHandle(self, "Handle")
        self._condition = CfnWaitCondition(
            self,
            "Resource",
            handle=self._handle.ref,
            count=1,
            timeout=str((timeout or Duration.minutes(30)).to_seconds()),
        )
        self.url = self._handle.ref
        """Presigned URL that receives the signal. It is a credential: do not publish it."""
        # The attribute is {"<unique id>":"<data>"} with a single entry and no quotes in the data
        self.data = Fn.select(3, Fn.split('"', self._condition.attr_data.to_string()))
        """Data of the machine's signal, without the JSON around it."""

    def wait_for(self, *machines: IDependable) -> None:
        """Starts the timeout after these constructs have been created."""
        self._condition.node.add_dependency(*machines)
