"""Checks the vCPU quota at deploy time."""

from __future__ import annotations

from aws_cdk import CustomResource, Stack
from constructs import Construct

from gpustation.catalog.frameworks import Framework
from gpustation.catalog.gpu_types import require_type
from gpustation.catalog.quotas import QuotaMode
from gpustation.catalog.spot import SpotMode
from gpustation.synth.custom_resource_function import RESPONSE_TIMEOUT, CustomResourceFunction

_QUOTA_SERVICE = "servicequotas.amazonaws.com"


class QuotaCheck(Construct):
    """Fails a deploy if the account's vCPU quota is too small, before anything is billed.

    It also fails for an account on AWS's free plan, on which EC2 launches no GPU type.

    Billed resources must depend on this construct (``node.add_dependency``). If the quota cannot
    be determined, the deploy continues with a message. A rollback, and a deploy that starts no
    machine, always pass.

    Args:
        scope: Construct that owns this one.
        construct_id: ID unique within the scope. Keep it: an update is compared with the
            properties of the resource that has this id.
        instance_type: EC2 GPU type of the machine, e.g. ``"g4dn.xlarge"``.
        framework: Framework that suggested alternative types must support. Default: MXNet.
        generation: Number of the machine. A different number means that a new machine starts
            while the old one runs. Default: 1.
        spot: Whether the machine is a spot machine, which has a quota of its own. Default: no.
        mode: Effect of a quota that is too small. Default: ``QuotaMode.ENFORCE``.
        with_price: Also read the type's price in this region, whenever the check is called.
            Default: false.

    Attributes:
        message: Sentence with vCPUs needed, limit and use, or with the reason why they are unknown.
        usd_per_hour: Price of the type in USD per hour, as text: that of AWS's price list, else the
            catalog's in us-east-1; ``unknown`` if neither has one. Empty without ``with_price``.
        price_of: Source, date and region of that price. Empty without ``with_price``.

    Raises:
        ValueError: The type is not in the catalog, or the mode is invalid.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        instance_type: str,
        framework: Framework = Framework.MXNET,
        generation: int = 1,
        spot: SpotMode = SpotMode.FALSE,
        mode: QuotaMode = QuotaMode.ENFORCE,
        with_price: bool = False,
    ) -> None:
        super().__init__(scope, construct_id)
        gpu_type = require_type(instance_type)
        function = CustomResourceFunction.of(
            self,
            "QuotaCheckHandler",
            module="quota_check",
            description="Compares the vCPU quota with what a GPU machine needs",
        )
        self._allow_reading(function)
        mode = QuotaMode(mode)
        if mode is QuotaMode.REQUEST:
            of_spot = spot is SpotMode.TRUE and gpu_type.spot_quota_code
            self._allow_requesting(function, of_spot or gpu_type.quota_code)
        if spot is not SpotMode.FALSE:
            function.allow_on_all(
                "ReadSpotUse",
                ["ec2:DescribeSpotInstanceRequests"],
                "EC2's Describe actions take no resource (service authorization reference)",
            )
        self.resource = CustomResource(
            self,
            "Resource",
            service_token=function.function_arn,
            resource_type="Custom::QuotaCheck",
            service_timeout=RESPONSE_TIMEOUT,
            properties={
                "InstanceType": instance_type,
                "Framework": Framework(framework).value,
                "Generation": str(generation),
                "Mode": mode.value,
                **({} if spot is SpotMode.FALSE else {"Spot": spot.value}),
                # CloudFormation calls the check of a stack that an earlier release made only if a
                # property changes, and that check gave no price
                **({"Price": "true"} if with_price else {}),
            },
        )
        self.message = self.resource.get_att_string("Message")
        self.usd_per_hour = self.price_of = ""
        if with_price:
            function.allow_on_all(
                "ReadPrices",
                ["pricing:GetProducts"],
                "the price list's actions take no resource",
            )
            self.usd_per_hour = self.resource.get_att_string("UsdPerHour")
            self.price_of = self.resource.get_att_string("PriceOf")

    def _allow_reading(self, function: CustomResourceFunction) -> None:
        function.allow_on_all(
            "ReadUse",
            [
                "ec2:DescribeAvailabilityZones",
                "ec2:DescribeCapacityReservations",
                "ec2:DescribeInstanceTypeOfferings",
                "ec2:DescribeInstanceTypes",
                "ec2:DescribeInstances",
            ],
            "EC2's Describe actions take no resource (service authorization reference)",
        )
        function.allow_on_all(
            "ReadQuota",
            [
                "servicequotas:GetAWSDefaultServiceQuota",
                "servicequotas:GetServiceQuota",
                "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota",
            ],
            "Service Quotas' reading actions take no resource, only the requesting one does",
        )
        function.allow_on_all(
            "ReadPlan",
            ["freetier:GetAccountPlanState"],
            "the plan is the account's, and the action takes no resource",
        )
        function.allow("ReadStack", ["cloudformation:DescribeStacks"], [Stack.of(self).stack_id])

    def _allow_requesting(self, function: CustomResourceFunction, quota_code: str) -> None:
        function.allow(
            "RequestQuota",
            ["servicequotas:RequestServiceQuotaIncrease"],
            [_quota_arn(self, quota_code)],
        )
        # An account's first request creates this role with the caller's permissions
        function.allow(
            "CreateQuotaRole",
            ["iam:CreateServiceLinkedRole"],
            [_quota_role_arn(self)],
            {"StringEquals": {"iam:AWSServiceName": _QUOTA_SERVICE}},
        )


def _quota_role_arn(scope: Construct) -> str:
    stack = Stack.of(scope)
    path = f"aws-service-role/{_QUOTA_SERVICE}/AWSServiceRoleForServiceQuotas"
    return f"arn:{stack.partition}:iam::{stack.account}:role/{path}"


def _quota_arn(scope: Construct, quota_code: str) -> str:
    stack = Stack.of(scope)
    return f"arn:{stack.partition}:servicequotas:{stack.region}:{stack.account}:ec2/{quota_code}"
