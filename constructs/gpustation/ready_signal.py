"""Waits until a machine reports that a step is done."""

from __future__ import annotations

from aws_cdk import CfnWaitCondition, CfnWaitConditionHandle, Duration, Fn
from constructs import Construct, IDependable


class ReadySignal(Construct):
    """One step that a machine reports, as a wait condition of its own.

    CloudFormation shows no event for a single signal, but it does for a completed wait condition:
    with one per step ``cdk deploy`` prints each as it completes. A failure's reason is printed too.

    Neither handle nor condition can be updated: another machine takes another ``ReadySignal``.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope; people read it in ``cdk deploy``.
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
        """Presigned address that takes the signal. It lets whoever knows it report: keep it."""
        # The attribute is the text {"<unique id>":"<data>"}: one entry, and no quotes in the data
        self.data = Fn.select(3, Fn.split('"', self._condition.attr_data.to_string()))
        """What the machine reported, without the JSON around it."""

    def wait_for(self, *machines: IDependable) -> None:
        """Starts to wait when these exist, so that the time-out counts from there."""
        self._condition.node.add_dependency(*machines)
