"""A limit of what the machines of a stack may cost in a calendar month."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aws_cdk import CustomResource, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from aws_cdk import aws_ssm as ssm
from constructs import Construct, IDependable

from gpustation.catalog.names import NOTICES
from gpustation.catalog.spend_limit import EXPIRES, KEY, NEXT_CALL
from gpustation.synth.acknowledge import acknowledge_checkov, acknowledge_wildcards
from gpustation.synth.custom_resource_function import RESPONSE_TIMEOUT
from gpustation.synth.lambda_function import LambdaFunction

_HANDLER = "SpendLimitHandler"
NO_NOTICE = "{}"
"""Value of the notice in the template. It never changes: CloudFormation would overwrite what the
function wrote."""
STATES = ("running", "stopping", "stopped", "shutting-down", "terminated")
"""States of an instance in which its costs begin or end."""


class SpendLimitFunction(LambdaFunction):
    """Lambda function that EventBridge, EventBridge Scheduler and CloudFormation call."""

    findings: ClassVar[Mapping[str, str]] = {
        "CKV_AWS_115": "calls at the same time do no harm; reserving for it fails in accounts "
        "whose limit is the first one, of 10",
        "CKV_AWS_116": "Lambda repeats a failed call twice, and the next hour there is another; "
        "nobody would read a queue",
    }


class SpendLimit(Construct):
    """Counts what the machines of the stack cost in a month, and stops them at a limit.

    Counted are the instances that CloudFormation made for this stack: the time for which they run
    and have a public address, and their root disks, at AWS's list price of the region. Not counted
    are traffic, images and snapshots, logs, tax and discounts. The table with the intervals is
    deleted with the stack, so the sum begins anew with a new stack.

    One function does everything (``handlers/spend_limit.py``). It is called for each state change
    of an instance of the account, every hour, at the moment when the limit or a part of it will be
    reached, and at each deploy.

    Whatever is billed must depend on ``check``, and a ``CountedMachine`` follows each machine.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope.
        usd_per_month: The limit in USD, 1 or more.
        instance_type: EC2 type whose price is stored at the deploy.
        disk_gib: Size of the root disk of machines, in GiB.
        generation: Number of the machine. Another number means that a new machine starts, for whose
            set-up enough must be left.
        email: Address that is told at 50, 80 and 100 %, once its owner has confirmed AWS's mail.
            Default: none.

    Raises:
        ValueError: The stack has a spend limit already.

    Attributes:
        check: The custom resource that refuses a deploy.
        notice: Parameter with what was found last.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        usd_per_month: int,
        instance_type: str,
        disk_gib: int,
        generation: int = 1,
        email: str = "",
    ) -> None:
        super().__init__(scope, construct_id)
        stack = Stack.of(self)
        if stack.node.try_find_child(_HANDLER):
            raise ValueError(
                "a stack has one spend limit, which counts all of its machines; pass "
                "monthly_budget_usd to one GpuWorkstation only"
            )
        self._table = self._make_table()
        self.notice = ssm.CfnParameter(
            self,
            "Notice",
            name=f"{NOTICES}/{stack.stack_name}",
            type="String",
            description="What the spend limit found last",
            value=NO_NOTICE,
        )
        self._group = scheduler.CfnScheduleGroup(self, "Schedules")
        self._role = self._make_schedule_role()
        topic = self._make_topic(email) if email else None
        self._function = SpendLimitFunction.of(
            self,
            _HANDLER,
            module="spend_limit",
            description="Counts what GPU machines cost, and stops them at a limit",
            environment={
                "STACK_ID": stack.stack_id,
                "LIMIT_USD": str(usd_per_month),
                "DISK_GIB": str(disk_gib),
                "TABLE": self._table.ref,
                "NOTICE": self.notice.ref,
                "GROUP": self._group.ref,
                "SCHEDULE_ROLE": self._role.role_arn,
                **({"TOPIC": topic.ref} if topic else {}),
            },
        )
        self._allow(topic)
        callers = [self._call_at_events(), self._call_every_hour()]
        self.check = CustomResource(
            self,
            "Check",
            service_token=self._function.function_arn,
            resource_type="Custom::SpendLimit",
            service_timeout=RESPONSE_TIMEOUT,
            properties={
                "InstanceType": instance_type,
                "Generation": str(generation),
                "UsdPerMonth": str(usd_per_month),
                "DiskGib": str(disk_gib),
            },
        )
        # Deleted first, so that the function does nothing any more when the others go
        self.check.node.add_dependency(*callers, self._role)
        self.message = self.check.get_att_string("Message")
        """Sentence with the costs of the month so far."""

    def count(self, scope: Construct, instance_id: str, after: IDependable) -> CustomResource:
        """Makes a machine known from its launch on.

        Args:
            scope: Construct that owns the machine.
            instance_id: Its id.
            after: The machine.
        """
        counted = CustomResource(
            scope,
            "Counted",
            service_token=self._function.function_arn,
            resource_type="Custom::CountedMachine",
            service_timeout=RESPONSE_TIMEOUT,
            properties={"InstanceId": instance_id},
        )
        counted.node.add_dependency(after)
        return counted

    def _make_table(self) -> dynamodb.CfnTable:
        table = dynamodb.CfnTable(
            self,
            "Ledger",
            attribute_definitions=[
                dynamodb.CfnTable.AttributeDefinitionProperty(
                    attribute_name=KEY, attribute_type="S"
                )
            ],
            key_schema=[dynamodb.CfnTable.KeySchemaProperty(attribute_name=KEY, key_type="HASH")],
            billing_mode="PAY_PER_REQUEST",
            point_in_time_recovery_specification=(
                dynamodb.CfnTable.PointInTimeRecoverySpecificationProperty(
                    point_in_time_recovery_enabled=True
                )
            ),
            time_to_live_specification=dynamodb.CfnTable.TimeToLiveSpecificationProperty(
                attribute_name=EXPIRES, enabled=True
            ),
        )
        table.apply_removal_policy(RemovalPolicy.DESTROY)
        acknowledge_checkov(
            table,
            {
                "CKV_AWS_119": "DynamoDB encrypts it anyway; nothing secret is in it, and a key of "
                "one's own is 1 USD a month"
            },
        )
        return table

    def _make_topic(self, email: str) -> sns.CfnTopic:
        topic = sns.CfnTopic(
            self,
            "Mails",
            display_name="GPU workstation",
            kms_master_key_id="alias/aws/sns",
        )
        sns.CfnSubscription(self, "Mail", topic_arn=topic.ref, protocol="email", endpoint=email)
        policy = iam.PolicyDocument(
            statements=[
                iam.PolicyStatement(
                    sid="OnlyWithTls",
                    effect=iam.Effect.DENY,
                    principals=[iam.AnyPrincipal()],
                    actions=["sns:Publish"],
                    resources=[topic.ref],
                    conditions={"Bool": {"aws:SecureTransport": "false"}},
                )
            ]
        )
        sns.CfnTopicPolicy(self, "MailsPolicy", topics=[topic.ref], policy_document=policy)
        return topic

    def _make_schedule_role(self) -> iam.Role:
        stack = Stack.of(self)
        # Scheduler's confused-deputy page: the source is the group of the schedule
        return iam.Role(
            self,
            "ScheduleRole",
            assumed_by=iam.ServicePrincipal(
                "scheduler.amazonaws.com",
                conditions={
                    "StringEquals": {
                        "aws:SourceAccount": stack.account,
                        "aws:SourceArn": self._group.attr_arn,
                    }
                },
            ),
        )

    def _allow(self, topic: sns.CfnTopic | None) -> None:
        stack, function = Stack.of(self), self._function
        function.allow(
            "KeepLedger",
            ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Scan"],
            [self._table.attr_arn],
        )
        function.allow_on_all(
            "ReadMachines",
            ["ec2:DescribeInstances"],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        function.allow_on_all(
            "ReadPrices",
            ["pricing:GetProducts"],
            "the price list's actions take no resource",
        )
        instances = f"arn:{stack.partition}:ec2:{stack.region}:{stack.account}:instance/*"
        function.allow(
            "StopOwnMachines",
            ["ec2:StopInstances"],
            [instances],
            {"StringEquals": {"aws:ResourceTag/aws:cloudformation:stack-id": stack.stack_id}},
        )
        next_call = (
            f"arn:{stack.partition}:scheduler:{stack.region}:{stack.account}:"
            f"schedule/{self._group.ref}/{NEXT_CALL}"
        )
        function.allow(
            "PlanNextCall",
            ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:UpdateSchedule"],
            [next_call],
        )
        function.allow(
            "PassScheduleRole",
            ["iam:PassRole"],
            [self._role.role_arn],
            {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
        )
        notice = f"arn:{stack.partition}:ssm:{stack.region}:{stack.account}:parameter"
        function.allow("WriteNotice", ["ssm:PutParameter"], [f"{notice}{self.notice.ref}"])
        function.allow("ReadStack", ["cloudformation:DescribeStacks"], [stack.stack_id])
        if topic:
            function.allow("SendMails", ["sns:Publish"], [topic.ref])
        acknowledge_wildcards(
            function.role,
            {
                "arn:<AWS::Partition>:ec2:<AWS::Region>:<AWS::AccountId>:instance/*": (
                    "StopOwnMachines: the condition allows the machines of this stack only"
                ),
            },
        )

    def _call_at_events(self) -> lambda_.CfnPermission:
        rule = events.CfnRule(
            self,
            "StateChanges",
            description="State changes of instances, for the spend limit",
            event_pattern={
                "source": ["aws.ec2"],
                "detail-type": ["EC2 Instance State-change Notification"],
                "detail": {"state": [*STATES]},
            },
            targets=[events.CfnRule.TargetProperty(id="Count", arn=self._function.function_arn)],
        )
        return lambda_.CfnPermission(
            self,
            "StateChangesMayCall",
            action="lambda:InvokeFunction",
            function_name=self._function.function_arn,
            principal="events.amazonaws.com",
            source_account=Stack.of(self).account,
            source_arn=rule.attr_arn,
        )

    def _call_every_hour(self) -> scheduler.CfnSchedule:
        self._role.add_to_policy(
            iam.PolicyStatement(
                sid="CallFunction",
                actions=["lambda:InvokeFunction"],
                resources=[self._function.function_arn],
            )
        )
        hourly = scheduler.CfnSchedule(
            self,
            "Hourly",
            description="Counts again, whatever events were lost; the month begins with it, too",
            group_name=self._group.ref,
            schedule_expression="cron(0 * * * ? *)",
            schedule_expression_timezone="UTC",
            flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(mode="OFF"),
            target=scheduler.CfnSchedule.TargetProperty(
                arn=self._function.function_arn,
                role_arn=self._role.role_arn,
                input='{"gpustation":"hourly"}',
                retry_policy=scheduler.CfnSchedule.RetryPolicyProperty(
                    maximum_event_age_in_seconds=3000, maximum_retry_attempts=10
                ),
            ),
        )
        hourly.node.add_dependency(self._role)
        acknowledge_checkov(
            hourly,
            {"CKV_AWS_297": "it holds a word; a key of one's own is 1 USD a month"},
        )
        return hourly
