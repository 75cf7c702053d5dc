"""Service Quotas as the API answers, and the quota at launch and start."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA, UBUNTU

P_QUOTA = "L-417A185B"
SPOT_QUOTA = "L-3819A6DF"
QUOTA_ROLE = "AWSServiceRoleForServiceQuotas"
ASK = {"ServiceCode": "ec2", "QuotaCode": G_QUOTA}


@pytest.fixture
def quotas(aws: LocalAws) -> Any:
    return aws.client("service-quotas")


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def launch(aws: LocalAws, kind: str, **more: Any) -> str:
    image = aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    one = {"ImageId": image, "InstanceType": kind, "MinCount": 1, "MaxCount": 1}
    return str(aws.client("ec2").run_instances(**one, **more)["Instances"][0]["InstanceId"])


def test_a_new_account_has_nothing_for_gpus(server: LocalAws) -> None:
    server.control.reset()
    answer = server.client("service-quotas").get_service_quota(**ASK)["Quota"]
    assert (answer["QuotaName"], answer["Value"], answer["Adjustable"]) == (
        "Running On-Demand G and VT instances",
        0.0,
        True,
    )
    dimensions = answer["UsageMetric"]["MetricDimensions"]
    assert dimensions["Class"] == "G/OnDemand"
    with pytest.raises(ClientError) as refused:
        launch(server, "g4dn.xlarge")
    assert code(refused) == "VcpuLimitExceeded"


def test_applied_value_may_be_missing_and_the_default_too(aws: LocalAws, quotas: Any) -> None:
    aws.control.set_quota(G_QUOTA, None)
    with pytest.raises(ClientError) as missing:
        quotas.get_service_quota(**ASK)
    assert code(missing) == "NoSuchResourceException"
    aws.control.set_default_quota(G_QUOTA, 16)
    assert quotas.get_aws_default_service_quota(**ASK)["Quota"]["Value"] == 16.0
    aws.control.set_default_quota(G_QUOTA, None)
    with pytest.raises(ClientError) as missing:
        quotas.get_aws_default_service_quota(**ASK)
    assert code(missing) == "NoSuchResourceException"


def test_request_is_filed_once(aws: LocalAws, quotas: Any) -> None:
    filed = quotas.request_service_quota_increase(**ASK, DesiredValue=80)["RequestedQuota"]
    assert (filed["Status"], filed["DesiredValue"]) == ("PENDING", 80.0)
    listed = quotas.list_requested_service_quota_change_history_by_quota(**ASK)["RequestedQuotas"]
    assert [r["Id"] for r in listed] == [filed["Id"]]
    with pytest.raises(ClientError) as again:
        quotas.request_service_quota_increase(**ASK, DesiredValue=96)
    assert code(again) == "ResourceAlreadyExistsException"


def test_the_first_request_creates_a_role_as_its_caller(aws: LocalAws) -> None:
    iam, sts = aws.client("iam"), aws.client("sts")
    if any(r["RoleName"] == QUOTA_ROLE for r in iam.list_roles()["Roles"]):
        iam.delete_service_linked_role(RoleName=QUOTA_ROLE)  # another test's request
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="asker", AssumeRolePolicyDocument=document)["Role"]

    def asks() -> str:
        session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="asks")["Credentials"]
        client = boto3.client(
            "service-quotas",
            endpoint_url=aws.url,
            region_name=aws.region,
            aws_access_key_id=session["AccessKeyId"],
            aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )
        try:
            client.request_service_quota_increase(**ASK, DesiredValue=80)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    def allow(*statements: dict[str, Any]) -> None:
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", **s} for s in statements],
        }
        iam.put_role_policy(RoleName="asker", PolicyName="x", PolicyDocument=json.dumps(policy))

    request = {"Action": "servicequotas:RequestServiceQuotaIncrease", "Resource": "*"}
    path = f"aws-service-role/servicequotas.amazonaws.com/{QUOTA_ROLE}"
    create = {
        "Action": "iam:CreateServiceLinkedRole",
        "Resource": f"arn:aws:iam::{aws.account}:role/{path}",
        "Condition": {"StringEquals": {"iam:AWSServiceName": "servicequotas.amazonaws.com"}},
    }
    try:
        allow(request)
        assert asks() == "DependencyAccessDeniedException"
        of_others = {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}}
        allow(request, create | {"Condition": of_others})
        assert asks() == "DependencyAccessDeniedException"
        allow(request, create)
        assert asks() == ""
        made = iam.get_role(RoleName=QUOTA_ROLE)["Role"]
        assert made["Arn"] == create["Resource"]
        assert not any(row.id == QUOTA_ROLE for row in aws.inventory())
        aws.control.reset()
        allow(request)
        assert asks() == "", "the role exists"
    finally:
        iam.delete_role_policy(RoleName="asker", PolicyName="x")
        iam.delete_role(RoleName="asker")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("throttle", "TooManyRequestsException"),
        ("deny", "AccessDeniedException"),
        ("missing", "NoSuchResourceException"),
    ],
)
def test_planned_fault_ends_after_its_times(
    aws: LocalAws, quotas: Any, kind: Any, expected: str
) -> None:
    once = boto3.session.Session(
        aws_access_key_id=aws.exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws.exports["AWS_SECRET_ACCESS_KEY"],
        region_name=aws.region,
    ).client(
        "service-quotas", endpoint_url=aws.url, config=Config(retries={"total_max_attempts": 1})
    )
    aws.control.fault("GetServiceQuota", kind, times=1)
    with pytest.raises(ClientError) as failed:
        once.get_service_quota(**ASK)
    assert code(failed) == expected
    assert once.get_service_quota(**ASK)["Quota"]["Value"] == 64.0


def test_fault_without_times_lasts_until_it_is_taken_back(aws: LocalAws) -> None:
    aws.control.fault("DescribeInstances", "deny")
    for _ in range(2):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            aws.client("ec2").describe_instances()
    aws.control.fault("DescribeInstances", None)
    aws.client("ec2").describe_instances()


def test_launch_and_start_count_pending_and_running_of_one_bucket(aws: LocalAws) -> None:
    aws.control.set_quota(G_QUOTA, 8)
    aws.control.set_quota(P_QUOTA, 0)
    ec2 = aws.client("ec2")
    first = launch(aws, "g4dn.xlarge")
    second = launch(aws, "g5.xlarge")
    made = [first, second]
    try:
        with pytest.raises(ClientError, match="vCPU limit of 8"):
            launch(aws, "g4dn.xlarge")
        ec2.stop_instances(InstanceIds=[first])
        third = launch(aws, "g6.xlarge")
        made.append(third)
        with pytest.raises(ClientError) as refused:
            ec2.start_instances(InstanceIds=[first])
        assert code(refused) == "VcpuLimitExceeded"
        ec2.terminate_instances(InstanceIds=[third])
        ec2.start_instances(InstanceIds=[first])
        with pytest.raises(ClientError, match="vCPU limit of 0"):
            launch(aws, "p4d.24xlarge")
    finally:
        ec2.terminate_instances(InstanceIds=made)


def test_spot_draws_on_its_own_bucket(aws: LocalAws) -> None:
    market = {"InstanceMarketOptions": {"MarketType": "spot"}}
    with pytest.raises(ClientError) as refused:
        launch(aws, "g4dn.xlarge", **market)
    assert code(refused) == "MaxSpotInstanceCountExceeded"
    aws.control.set_quota(SPOT_QUOTA, 4)
    made = launch(aws, "g4dn.xlarge", **market)
    ec2 = aws.client("ec2")
    named = [{"Name": "instance-lifecycle", "Values": ["spot"]}]
    (row,) = ec2.describe_instances(Filters=named, InstanceIds=[made])["Reservations"]
    assert row["Instances"][0]["InstanceLifecycle"] == "spot"
    ec2.terminate_instances(InstanceIds=[made])


def test_quota_can_be_left_unenforced(aws: LocalAws) -> None:
    aws.control.set_quota(G_QUOTA, 0)
    aws.control.enforce_quota(False)
    aws.client("ec2").terminate_instances(InstanceIds=[launch(aws, "g4dn.xlarge")])
