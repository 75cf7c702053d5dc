"""Stops one machine every day at a time of a time zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct

from gpustation.catalog.wall_time import WallTime
from gpustation.settings.daily_stop import MAX_PATIENCE_MINUTES
from gpustation.settings.daily_stop import stop_at as checked
from gpustation.synth.acknowledge import acknowledge_checkov
from gpustation.synth.lambda_function import LambdaFunction

MAX_AGE_SECONDS = 900
"""How late EventBridge Scheduler may still call the function."""

RETRIES = 5
"""Calls after one that failed, within ``MAX_AGE_SECONDS``."""


class DailyStopFunction(LambdaFunction):
    """Lambda function that EventBridge Scheduler calls."""

    findings: ClassVar[Mapping[str, str]] = {
        "CKV_AWS_115": "it is called once or twice per day; reserving for it fails in accounts "
        "whose limit is the first one, of 10",
        "CKV_AWS_116": "Lambda repeats a failed call twice, and the next day there is another; "
        "nobody would read a queue",
    }


class DailyStop(Construct):
    """Stops a machine at ``stop_at``, or so many minutes later, whatever the machine says.

    It is the net below the machine's own timer, which warns. The schedule calls a function instead
    of StopInstances, because a machine that was started after the time must run on. The function
    also removes rules of ``gpustation allow-my-ip`` whose time is over.

    EventBridge Scheduler skips a time that does not exist on the day when summer time begins. If
    that can happen, a second schedule calls the function after the gap.

    Args:
        scope: Construct that owns this one; one per machine.
        construct_id: ID unique within the scope.
        instance_id: The machine, the only one that the function may stop.
        stop_at: Time and zone, e.g. ``22:00 Europe/Berlin``.
        patience: Minutes after ``stop_at`` at which the machine is stopped, 0 to 720. Default: 0.
        security_group: The only one whose rules the function may remove. Default: none.

    Raises:
        ValueError: ``stop_at`` is not a time and a zone that this computer knows, or the patience
            is out of range.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        instance_id: str,
        stop_at: str,
        patience: int = 0,
        security_group: ec2.ISecurityGroup | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        if not 0 <= patience <= MAX_PATIENCE_MINUTES:
            raise ValueError(
                f"stop_at_patience must be 0 to {MAX_PATIENCE_MINUTES} minutes, got {patience}"
            )
        self.stop_at = WallTime.parse(checked(stop_at))
        function = DailyStopFunction.of(
            self,
            "DailyStopHandler",
            module="daily_stop",
            description="Stops a GPU machine at its daily stop",
        )
        group_id = security_group.security_group_id if security_group else ""
        self._allow(function, instance_id, group_id)
        caller = _Caller.of(self, function)
        net = self.stop_at.later(patience)
        times = {"Schedule": net, "ScheduleAfterGap": net.after_gap()}
        for name, wall in times.items():
            if wall is None:
                continue
            schedule = scheduler.CfnSchedule(
                self,
                name,
                description=f"Stops a GPU machine: stop_at={self.stop_at}, patience {patience} min",
                group_name=caller.group.ref,
                schedule_expression=f"cron({wall.minute} {wall.hour} * * ? *)",
                schedule_expression_timezone=wall.zone,
                flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
                target=scheduler.CfnSchedule.TargetProperty(
                    arn=function.function_arn,
                    role_arn=caller.role.role_arn,
                    input=Stack.of(self).to_json_string(
                        {
                            "instance_id": instance_id,
                            "stop_at": str(self.stop_at),
                            "patience": patience,
                            "security_group_id": group_id,
                        }
                    ),
                    retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                        maximum_event_age_in_seconds=MAX_AGE_SECONDS,
                        maximum_retry_attempts=RETRIES,
                    ),
                ),
            )
            acknowledge_checkov(
                schedule,
                {
                    "CKV_AWS_297": "it holds an instance id and a time of day; a key of one's own "
                    "is 1 USD a month"
                },
            )
            schedule.node.add_dependency(caller.role)  # includes its policy, a separate resource

    def _allow(self, function: LambdaFunction, instance_id: str, group_id: str) -> None:
        stack = Stack.of(self)
        function.allow_on_all(
            "ReadMachine",
            ["ec2:DescribeInstances", "ec2:DescribeSecurityGroups"],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        machine = stack.format_arn(service="ec2", resource="instance", resource_name=instance_id)
        function.allow("StopMachine", ["ec2:StopInstances"], [machine])
        if group_id:
            group = stack.format_arn(
                service="ec2", resource="security-group", resource_name=group_id
            )
            function.allow("CloseExpired", ["ec2:RevokeSecurityGroupIngress"], [group])


class _Caller(Construct):
    """The stack's group of schedules, and the role with which they call the function."""

    def __init__(self, scope: Construct, construct_id: str, function: LambdaFunction) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        self.group = scheduler.CfnScheduleGroup(self, "Group")
        # Scheduler assumes the role for schedules of this group only ("Confused deputy prevention"
        # of its user guide)
        own = {
            "StringEquals": {
                "aws:SourceAccount": stack.account,
                "aws:SourceArn": self.group.attr_arn,
            }
        }
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("scheduler.amazonaws.com", conditions=own),
        )
        self.role.add_to_policy(
            iam.PolicyStatement(
                sid="CallFunction",
                actions=["lambda:InvokeFunction"],
                resources=[function.function_arn],
            )
        )

    @classmethod
    def of(cls, scope: Construct, function: LambdaFunction) -> _Caller:
        """The one of the scope's stack, created at the first call."""
        stack = Stack.of(scope)
        existing = stack.node.try_find_child("DailyStopCaller")
        return existing if isinstance(existing, cls) else cls(stack, "DailyStopCaller", function)
