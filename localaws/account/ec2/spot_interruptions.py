"""Interruptions: EC2 takes the capacity of spot machines back, and gives it again."""

from __future__ import annotations

from ministack.core.responses import request_scope

from localaws.account.ec2.instance_record import Record
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.room import RUNNING
from localaws.account.ec2.spot_request import SpotRequest, stamp
from localaws.account.ec2.spot_requests import STOPPED_BY_EC2, TERMINATED_BY_EC2
from localaws.account.errors import ApiError


class Interruptions:
    """What a test lets EC2 do to the spot machines of any region.

    Args:
        instances: The instances.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._requests = instances.spot
        self._world = instances.world

    def interrupt(self, instance_id: str, notice: float) -> None:
        """Take the capacity of a running machine back, after a notice of so many seconds.

        Raises:
            ValueError: It is no spot machine, or does not run.
        """
        record, request = self._controlled(instance_id)
        if record["State"]["Name"] not in RUNNING:
            raise ValueError(f"{instance_id} does not run, so EC2 cannot interrupt it")
        now = self._world.clock()
        # The machine of a cancelled request cannot be stopped, so EC2 terminates it: not documented
        action = request.options.behavior if request.state == "active" else "terminate"
        with request_scope(request.account, request.region):
            self._instances.announce(record, action, stamp(now + notice).replace(".000Z", "Z"))
        if action == "stop":
            request.set("active", "marked-for-stop", now)
        elif request.state == "active":
            request.set("closed", "instance-terminated-no-capacity", now)

        def take() -> None:
            if record["State"]["Name"] not in RUNNING:
                return
            if action == "stop" and request.state == "active":
                self._instances.stop(record, STOPPED_BY_EC2)
            else:
                self._instances.terminate(record, TERMINATED_BY_EC2)

        self._requests.plan(request, notice, take)

    def resume(self, instance_id: str) -> None:
        """Let EC2 start a machine that it stopped, as it does when it has capacity again.

        Raises:
            ValueError: EC2 did not stop it, or there is no room for it.
        """
        record, request = self._controlled(instance_id)
        before = (request.state, request.code)
        if before != ("disabled", "instance-stopped-no-capacity"):
            raise ValueError(
                f"EC2 starts only what it stopped; the request of {instance_id} is {before[0]}, "
                f"{before[1]}"
            )
        request.set("open", "pending-evaluation", self._world.clock())
        try:
            with request_scope(request.account, request.region):
                self._instances.start(record, by_ec2=True)
        except ApiError as error:
            request.set(*before, self._world.clock())
            raise ValueError(f"EC2 cannot start {instance_id}: {error.code}") from error

    def reconsider(self) -> None:
        """Try again what could not be launched, as EC2 does by itself."""
        self._requests.reconsider()

    def _controlled(self, instance_id: str) -> tuple[Record, SpotRequest]:
        """A spot machine of any region and its request."""
        for request in self._world.spot_requests.values():
            if request.instance_id == instance_id:
                with request_scope(request.account, request.region):
                    record = self._requests.machine(request)
                if record is not None:
                    return record, request
        raise ValueError(f"{instance_id} is no spot machine")
