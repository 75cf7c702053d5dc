"""The embedded AWS against answers that real AWS gave to others, each with its public source.

`recordings/answers.json` has what was done and what AWS answered: code, HTTP status and message,
as far as the source has them. A part of a message in angle brackets stands for any text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.ec2_probe import SESSION, ZONE, launch, subnet
from tests.support.image_stack import bash, component, document
from tests.support.probe_stack import G_QUOTA, Stack

FILE = Path(__file__).parent / "recordings" / "answers.json"
RECORDINGS: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
G_SPOT = "L-3819A6DF"
NOTE = {"Note": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "1"}}}
BODY = json.dumps({"Resources": NOTE, "Outputs": {}})
SPOT = {
    "MarketType": "spot",
    "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
}
TRUST = json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]})
MISSING = "missing"


@dataclass
class Account:
    """What an action may use; what it registers is undone after the test."""

    aws: LocalAws
    undo: ExitStack
    name: str = field(default_factory=lambda: f"recorded-{uuid4().hex[:8]}")

    def client(self, service: str) -> Any:
        """A client that tries a call once."""
        exports = self.aws.exports
        keys = exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]
        return _client(service, self.aws.url, *keys)

    @property
    def cloudformation(self) -> Any:
        return self.client("cloudformation")

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    def stack(self, resources: dict[str, Any] | None = None) -> Stack:
        made = Stack(self.aws, self.name)
        made.create(resources or NOTE)
        self.undo.callback(self._delete, made)
        return made

    def machine(self, **more: Any) -> str:
        box = str(launch(self.ec2, **more)["InstanceId"])
        self.undo.callback(self.ec2.terminate_instances, InstanceIds=[box])
        return box

    def vpc(self) -> str:
        made = str(self.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"])
        self.undo.callback(self.ec2.delete_vpc, VpcId=made)
        return made

    @staticmethod
    def _delete(stack: Stack) -> None:
        if stack.describe()["StackStatus"] != "DELETE_COMPLETE":
            stack.delete()


@cache
def _client(service: str, url: str, key: str, secret: str) -> Any:
    make: Any = SESSION.client
    return make(
        service,
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
    )


@pytest.fixture
def account(aws: LocalAws) -> Iterator[Account]:
    with ExitStack() as undo:
        yield Account(aws, undo)


Action = Callable[[Account], Any]
ACTIONS: dict[str, Action] = {}


def does(recording: str) -> Callable[[Action], Action]:
    def note(action: Action) -> Action:
        ACTIONS[recording] = action
        return action

    return note


def pattern(message: str) -> str:
    """A recorded message as a regular expression."""
    parts = re.split(r"<[a-z ]+>", message)
    return r"\S.*".join(re.escape(part) for part in parts)


def _row(recording: dict[str, Any]) -> Any:
    """A recording from which the embedded AWS differs must go on to differ, or lose its reason."""
    known = recording.get("differs")
    marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
    return pytest.param(recording, id=recording["id"], marks=marks)


@pytest.mark.parametrize("recording", list(map(_row, RECORDINGS)))
def test_answer_is_the_recorded_one(recording: dict[str, Any], account: Account) -> None:
    with pytest.raises(ClientError) as refused:
        ACTIONS[recording["id"]](account)
    error = refused.value.response["Error"]
    assert error["Code"] == recording["code"], error
    if recording["status"]:
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == recording["status"]
    if recording["message"] is not None:
        assert re.fullmatch(pattern(recording["message"]), error["Message"]), error["Message"]


def test_every_recording_has_its_source_and_its_action() -> None:
    assert sorted(ACTIONS) == sorted(row["id"] for row in RECORDINGS)
    for row in RECORDINGS:
        assert re.match(r"[\w.-]+/[\w.-]+(#\d+| .+)", row["source"]), row
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["date"]), row


@does("stack-missing")
def _(account: Account) -> None:
    account.cloudformation.describe_stacks(StackName=MISSING)


@does("stack-deleted")
def _(account: Account) -> None:
    account.stack().delete()
    account.cloudformation.describe_stacks(StackName=account.name)


@does("stack-missing-events")
def _(account: Account) -> None:
    account.cloudformation.describe_stack_events(StackName=MISSING)


@does("stack-missing-template")
def _(account: Account) -> None:
    account.cloudformation.get_template(StackName=MISSING)


@does("stack-exists")
def _(account: Account) -> None:
    account.stack()
    account.cloudformation.create_stack(StackName=account.name, TemplateBody=BODY)


@does("no-updates")
def _(account: Account) -> None:
    account.stack()
    account.cloudformation.update_stack(StackName=account.name, TemplateBody=BODY)


@does("update-deleted")
def _(account: Account) -> None:
    stack = account.stack()
    stack.delete()
    account.cloudformation.update_stack(StackName=stack.stack_id, TemplateBody=BODY)


@does("update-rolled-back")
def _(account: Account) -> None:
    account.aws.control.resource_fault("create", "Note", "no more of these")
    account.stack()
    account.cloudformation.update_stack(StackName=account.name, TemplateBody=BODY)


@does("template-unresolved")
def _(account: Account) -> None:
    note = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String"}}
    note["Properties"]["Value"] = {"Ref": "Nothing"}  # type: ignore[index]
    body = json.dumps({"Resources": {"Note": note}})
    account.cloudformation.create_stack(StackName=account.name, TemplateBody=body)


@does("template-empty")
def _(account: Account) -> None:
    account.cloudformation.create_stack(StackName=account.name, TemplateBody="{}")


@does("resource-missing")
def _(account: Account) -> None:
    account.stack()
    account.cloudformation.describe_stack_resource(
        StackName=account.name, LogicalResourceId="Nothing"
    )


@does("change-set-deleted")
def _(account: Account) -> None:
    account.stack()
    named = {"StackName": account.name, "ChangeSetName": "probe"}
    body = BODY.replace('"1"', '"2"')
    account.cloudformation.create_change_set(**named, TemplateBody=body)
    account.cloudformation.delete_change_set(**named)
    account.cloudformation.describe_change_set(**named)


@does("change-set-stack-missing")
def _(account: Account) -> None:
    account.cloudformation.delete_change_set(StackName=MISSING, ChangeSetName="probe")


@does("change-set-stack-exists")
def _(account: Account) -> None:
    account.stack()
    account.cloudformation.create_change_set(
        StackName=account.name, ChangeSetName="probe", ChangeSetType="CREATE", TemplateBody=BODY
    )


@does("change-set-stack-deleted")
def _(account: Account) -> None:
    stack = account.stack()
    stack.delete()
    account.cloudformation.create_change_set(
        StackName=stack.stack_id, ChangeSetName="probe", TemplateBody=BODY
    )


@does("change-set-not-ready")
def _(account: Account) -> None:
    account.stack()
    named = {"StackName": account.name, "ChangeSetName": "probe"}
    account.cloudformation.create_change_set(**named, TemplateBody=BODY)
    assert account.cloudformation.describe_change_set(**named)["Status"] == "FAILED"
    account.cloudformation.execute_change_set(**named)


@does("vcpu-limit")
def _(account: Account) -> None:
    account.aws.control.set_quota(G_QUOTA, 0)
    account.machine()


@does("no-capacity")
def _(account: Account) -> None:
    account.aws.control.set_capacity("g4dn.xlarge", False, zone=ZONE)
    account.machine()


@does("zone-unsupported")
def _(account: Account) -> None:
    account.aws.control.set_offerings("g4dn.xlarge", ["us-east-1c"])
    account.undo.callback(account.aws.control.set_offerings, "g4dn.xlarge", None)
    account.machine()


@does("image-missing-launch")
def _(account: Account) -> None:
    account.ec2.run_instances(ImageId="ami-0dddddddddddddddd", MinCount=1, MaxCount=1)


@does("image-missing-describe")
def _(account: Account) -> None:
    account.ec2.describe_images(ImageIds=["ami-0dddddddddddddddd"])


@does("instance-missing")
def _(account: Account) -> None:
    account.ec2.describe_instances(InstanceIds=["i-0dddddddddddddddd"])


@does("start-wrong-state")
def _(account: Account) -> None:
    box = account.machine()
    account.ec2.terminate_instances(InstanceIds=[box])
    account.ec2.start_instances(InstanceIds=[box])


@does("start-spot-too-early")
def _(account: Account) -> None:
    account.aws.control.set_quota(G_SPOT, 64)
    account.aws.control.spot_delays(stop=30, service=60)
    box = account.machine(InstanceMarketOptions=SPOT)
    (row,) = account.ec2.describe_spot_instance_requests(
        Filters=[{"Name": "instance-id", "Values": [box]}]
    )["SpotInstanceRequests"]
    account.undo.callback(
        account.ec2.cancel_spot_instance_requests,
        SpotInstanceRequestIds=[row["SpotInstanceRequestId"]],
    )
    account.ec2.stop_instances(InstanceIds=[box])
    account.ec2.start_instances(InstanceIds=[box])


@does("spot-quota")
def _(account: Account) -> None:
    account.aws.control.set_quota(G_SPOT, 0)
    account.machine(InstanceMarketOptions=SPOT)


@does("spot-price")
def _(account: Account) -> None:
    account.aws.control.set_quota(G_SPOT, 64)
    options = {**SPOT["SpotOptions"], "MaxPrice": "0.001"}  # type: ignore[dict-item]
    account.machine(InstanceMarketOptions={"MarketType": "spot", "SpotOptions": options})


@does("snapshot-in-use")
def _(account: Account) -> None:
    ec2 = account.ec2
    image = ec2.create_image(InstanceId=account.machine(), Name=account.name)["ImageId"]
    account.undo.callback(ec2.deregister_image, ImageId=image, DeleteAssociatedSnapshots=True)
    ec2.get_waiter("image_available").wait(
        ImageIds=[image], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    (row,) = ec2.describe_images(ImageIds=[image])["Images"]
    ec2.delete_snapshot(SnapshotId=row["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])


@does("group-in-use")
def _(account: Account) -> None:
    vpc = account.ec2.describe_subnets(SubnetIds=[subnet(account.ec2, ZONE)])["Subnets"][0]["VpcId"]
    group = account.ec2.create_security_group(
        GroupName=account.name, Description="probe", VpcId=vpc
    )["GroupId"]
    account.undo.callback(account.ec2.delete_security_group, GroupId=group)
    account.machine(SecurityGroupIds=[group])
    account.ec2.delete_security_group(GroupId=group)


@does("subnet-in-use")
def _(account: Account) -> None:
    account.machine()
    account.ec2.delete_subnet(SubnetId=subnet(account.ec2, ZONE))


@does("vpc-in-use")
def _(account: Account) -> None:
    vpc = account.vpc()
    group = account.ec2.create_security_group(
        GroupName=account.name, Description="probe", VpcId=vpc
    )["GroupId"]
    account.undo.callback(account.ec2.delete_security_group, GroupId=group)
    account.ec2.delete_vpc(VpcId=vpc)


@does("gateway-in-use")
def _(account: Account) -> None:
    account.machine()
    found = account.ec2.describe_subnets(SubnetIds=[subnet(account.ec2, ZONE)])["Subnets"][0]
    attached = [{"Name": "attachment.vpc-id", "Values": [found["VpcId"]]}]
    (gateway,) = account.ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    account.ec2.detach_internet_gateway(
        InternetGatewayId=gateway["InternetGatewayId"], VpcId=found["VpcId"]
    )


@does("key-missing")
def _(account: Account) -> None:
    account.ec2.describe_key_pairs(KeyNames=[MISSING])


@does("reservation-count")
def _(account: Account) -> None:
    account.ec2.create_capacity_reservation(
        InstanceType="g4dn.xlarge",
        InstancePlatform="Linux/UNIX",
        AvailabilityZone=ZONE,
        InstanceCount=1001,
    )


@does("ec2-throttled")
def _(account: Account) -> None:
    account.aws.control.fault("DescribeInstances", "throttle")
    account.ec2.describe_instances()


@does("ec2-forbidden")
def _(account: Account) -> None:
    account.aws.control.fault("RunInstances", "forbid")
    account.machine()


@does("ec2-denied")
def _(account: Account) -> None:
    account.aws.control.fault("DescribeInstanceTypes", "deny")
    account.ec2.describe_instance_types()


@does("policy-missing")
def _(account: Account) -> None:
    arn = f"arn:aws:iam::{account.aws.account}:policy/{MISSING}"
    account.client("iam").delete_policy(PolicyArn=arn)


@does("policy-not-attachable")
def _(account: Account) -> None:
    iam = account.client("iam")
    iam.create_role(RoleName=account.name, AssumeRolePolicyDocument=TRUST)
    account.undo.callback(iam.delete_role, RoleName=account.name)
    arn = f"arn:aws:iam::{account.aws.account}:policy/{MISSING}"
    iam.attach_role_policy(RoleName=account.name, PolicyArn=arn)
    account.undo.callback(iam.detach_role_policy, RoleName=account.name, PolicyArn=arn)


@does("trust-malformed")
def _(account: Account) -> None:
    account.client("iam").create_role(RoleName=account.name, AssumeRolePolicyDocument="{no json}")


@does("assume-malformed")
def _(account: Account) -> None:
    account.client("sts").assume_role(RoleArn="nothing-valid-in-here", RoleSessionName="probe")


@does("parameter-missing")
def _(account: Account) -> None:
    account.client("ssm").get_parameter(Name=MISSING)


@does("item-condition")
def _(account: Account) -> None:
    dynamodb = account.client("dynamodb")
    key = {"AttributeName": "id", "AttributeType": "S"}
    dynamodb.create_table(
        TableName=account.name,
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    account.undo.callback(dynamodb.delete_table, TableName=account.name)
    item = {"TableName": account.name, "Item": {"id": {"S": "1"}}}
    for _ in range(2):
        dynamodb.put_item(**item, ConditionExpression="attribute_not_exists(id)")


@does("table-missing-item")
def _(account: Account) -> None:
    account.client("dynamodb").put_item(TableName=MISSING, Item={"id": {"S": "1"}})


@does("table-missing-delete")
def _(account: Account) -> None:
    account.client("dynamodb").delete_table(TableName=MISSING)


@does("function-missing")
def _(account: Account) -> None:
    account.client("lambda").get_function(FunctionName=MISSING)


@does("function-no-retries")
def _(account: Account) -> None:
    account.client("lambda").get_function_event_invoke_config(FunctionName=MISSING)


@does("schedule-expression")
def _(account: Account) -> None:
    account.client("scheduler").create_schedule(
        Name=account.name,
        ScheduleExpression="cron(0 1 * * * *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={
            "Arn": f"arn:aws:lambda:us-east-1:{account.aws.account}:function:{MISSING}",
            "RoleArn": f"arn:aws:iam::{account.aws.account}:role/{MISSING}",
        },
    )


@does("schedule-missing")
def _(account: Account) -> None:
    account.client("scheduler").get_schedule(Name=MISSING)


def _ask_quota(account: Account, value: float) -> None:
    account.client("service-quotas").request_service_quota_increase(
        ServiceCode="ec2", QuotaCode=G_QUOTA, DesiredValue=value
    )


@does("quota-asked-twice")
def _(account: Account) -> None:
    _ask_quota(account, 128)
    _ask_quota(account, 256)


@does("quota-not-greater")
def _(account: Account) -> None:
    _ask_quota(account, 64)


@does("quota-missing")
def _(account: Account) -> None:
    account.aws.control.set_quota("L-417A185B", None)
    account.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode="L-417A185B")


@does("component-in-use")
def _(account: Account) -> None:
    ubuntu = account.ec2.describe_images(
        Filters=[{"Name": "name", "Values": ["ubuntu-jammy*amd64*"]}]
    )
    recipe = {
        "Type": "AWS::ImageBuilder::ImageRecipe",
        "Properties": {
            "Name": account.name,
            "Version": "1.0.0",
            "ParentImage": ubuntu["Images"][0]["ImageId"],
            "Components": [{"ComponentArn": {"Ref": "Component"}}],
        },
    }
    data = document(build=[bash("true")])
    stack = account.stack({"Component": component(data, name=account.name), "Recipe": recipe})
    account.client("imagebuilder").delete_component(
        componentBuildVersionArn=stack.physical_id("Component")
    )
