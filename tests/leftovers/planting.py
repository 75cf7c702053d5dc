"""One leftover of each kind, made by plain API calls and owned by no stack."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localaws import LocalAws
from tests.support.probe_stack import UBUNTU, Stack

GONE = "GpuGone"
"""A stack that never was: what bears its name is left of it."""
TAGS = [{"Key": "gpustation", "Value": GONE}]
PLAIN = {"gpustation": GONE}
OURS = "Generation1MachineSettings81C4D060"
"""A logical id that only our templates have; the CDK gives a stack itself no tags."""
SUFFIX = "AbCdEfGhIj12"
"""As CloudFormation appends to names."""
FUNCTION = f"GpuWorkstation-QuotaCheckHandlerFunction9D5A8239-{SUFFIX}"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "ec2.amazonaws.com"},
            }
        ],
    }
)
ALLOWS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
)


@dataclass(frozen=True)
class Planted:
    """What was planted, and the row that must tell of it."""

    kind: str
    id: str
    usd: float = 0.0


def specified(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


class Garden:
    """Plants leftovers, in places that are not ours where a thing needs a place.

    Args:
        aws: The embedded AWS, with quota for a machine.
    """

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self._places: list[Callable[[], Any]] = []

    def plant(self, kind: str) -> list[Planted]:
        """A leftover of this kind, and what cannot but be left with it, in removal's order."""
        made = getattr(self, self.method(kind))()
        return made if isinstance(made, list) else [made]

    @staticmethod
    def method(kind: str) -> str:
        """The method that plants a kind."""
        return f"_{kind.replace(' ', '_').lower()}"

    def clear(self) -> None:
        """Take the places away again."""
        while self._places:
            self._places.pop()()

    def _client(self, service: str) -> Any:
        return self.aws.client(service)

    def _foreign_vpc(self) -> str:
        ec2 = self._client("ec2")
        vpc = str(ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"])
        self._places.append(lambda: ec2.delete_vpc(VpcId=vpc))
        return vpc

    def _stack(self) -> Planted:
        self._client("cloudformation").create_change_set(
            StackName="GpuWorkstation",
            ChangeSetName="cdk-deploy-change-set",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps({"Resources": {OURS: parameter()}}),
        )
        self._await_change_set("GpuWorkstation")
        return Planted("stack", "GpuWorkstation")

    def _change_set(self) -> Planted:
        living = Stack(self.aws, "GpuImage")
        assert living.create({"P": parameter(), OURS: parameter()}) == "CREATE_COMPLETE"
        self._places.append(living.delete)
        self._client("cloudformation").create_change_set(
            StackName="GpuImage",
            ChangeSetName="cdk-diff-change-set",
            TemplateBody=json.dumps({"Resources": {"P": parameter("another"), OURS: parameter()}}),
        )
        self._await_change_set("GpuImage")
        return Planted("change set", "cdk-diff-change-set")

    def _await_change_set(self, stack: str) -> None:
        cloudformation = self._client("cloudformation")
        deadline = time.monotonic() + 300
        while True:
            found = cloudformation.list_change_sets(StackName=stack)["Summaries"]
            if [one for one in found if one["Status"] == "CREATE_COMPLETE"]:
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def _image_id(self) -> str:
        return str(self._client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"])

    def _instance(self) -> Planted:
        # No disk of its own kind here: instance and disk are two rows, and one is wanted
        self.aws.control.add_image("ami-0000000000000000a", root_device_type="instance-store")
        (made,) = self._client("ec2").run_instances(
            ImageId="ami-0000000000000000a",
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=specified("instance"),
        )["Instances"]
        return Planted("instance", made["InstanceId"], (0.526 + 0.005) * 730)

    def _volume(self) -> Planted:
        """A disk whose machine is gone, because it was not to go with it."""
        ec2 = self._client("ec2")
        disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 64, "VolumeType": "gp3"}}
        disk["Ebs"]["DeleteOnTermination"] = False  # type: ignore[index]
        (made,) = ec2.run_instances(
            ImageId=self._image_id(),
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            BlockDeviceMappings=[disk],
            TagSpecifications=specified("volume"),
        )["Instances"]
        volume = made["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
        return Planted("volume", volume, 64 * 0.08)

    def _address(self) -> Planted:
        made = self._client("ec2").allocate_address(TagSpecifications=specified("elastic-ip"))
        return Planted("address", made["AllocationId"], 3.65)

    def _snapshot(self) -> Planted:
        ec2 = self._client("ec2")
        volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=30, VolumeType="gp3")
        made = ec2.create_snapshot(
            VolumeId=volume["VolumeId"], TagSpecifications=specified("snapshot")
        )
        ec2.delete_volume(VolumeId=volume["VolumeId"])
        return Planted("snapshot", made["SnapshotId"], 1.5)

    def _image(self) -> list[Planted]:
        """An image, which is nothing without its snapshot; that one bears no tag."""
        ec2 = self._client("ec2")
        (machine,) = ec2.run_instances(
            ImageId=self._image_id(), InstanceType="g4dn.xlarge", MinCount=1, MaxCount=1
        )["Instances"]
        made = ec2.create_image(
            InstanceId=machine["InstanceId"],
            Name="left behind",
            TagSpecifications=specified("image"),
        )["ImageId"]
        ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig={"Delay": 1})
        ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
        (image,) = ec2.describe_images(ImageIds=[made])["Images"]
        snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
        return [Planted("image", made), Planted("snapshot", snapshot, 8 * 0.05)]

    def _key_pair(self) -> Planted:
        self._client("ec2").create_key_pair(KeyName="left", TagSpecifications=specified("key-pair"))
        return Planted("key pair", "left")

    def _launch_template(self) -> Planted:
        made = self._client("ec2").create_launch_template(
            LaunchTemplateName="left",
            LaunchTemplateData={"InstanceType": "g4dn.xlarge"},
            TagSpecifications=specified("launch-template"),
        )["LaunchTemplate"]
        return Planted("launch template", made["LaunchTemplateId"])

    def _vpc(self) -> Planted:
        made = self._client("ec2").create_vpc(
            CidrBlock="10.9.0.0/16", TagSpecifications=specified("vpc")
        )
        return Planted("vpc", made["Vpc"]["VpcId"])

    def _subnet(self) -> Planted:
        made = self._client("ec2").create_subnet(
            VpcId=self._foreign_vpc(),
            CidrBlock="10.8.1.0/24",
            TagSpecifications=specified("subnet"),
        )
        return Planted("subnet", made["Subnet"]["SubnetId"])

    def _security_group(self) -> Planted:
        made = self._client("ec2").create_security_group(
            GroupName="left",
            Description="left",
            VpcId=self._foreign_vpc(),
            TagSpecifications=specified("security-group"),
        )
        return Planted("security group", made["GroupId"])

    def _ssh_rule(self) -> Planted:
        """In a group that a stack has, as the machine's is."""
        ec2 = self._client("ec2")
        group = ec2.create_security_group(
            GroupName="used", Description="used", VpcId=self._foreign_vpc()
        )["GroupId"]
        self._places.append(lambda: ec2.delete_security_group(GroupId=group))
        for address, year in (("203.0.113.7", 2026), ("203.0.113.8", 2126)):
            rule = {
                "CidrIp": f"{address}/32",
                "Description": f"gpustation allow-my-ip until {year}-01-01T00:00Z",
            }
            ec2.authorize_security_group_ingress(
                GroupId=group,
                IpPermissions=[
                    {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [rule]}
                ],
            )
        return Planted("ssh rule", f"{group}:203.0.113.7/32")

    def _route_table(self) -> Planted:
        made = self._client("ec2").create_route_table(
            VpcId=self._foreign_vpc(), TagSpecifications=specified("route-table")
        )
        return Planted("route table", made["RouteTable"]["RouteTableId"])

    def _internet_gateway(self) -> Planted:
        made = self._client("ec2").create_internet_gateway(
            TagSpecifications=specified("internet-gateway")
        )
        return Planted("internet gateway", made["InternetGateway"]["InternetGatewayId"])

    def _network_interface(self) -> Planted:
        ec2, vpc = self._client("ec2"), self._foreign_vpc()
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.3.0/24")["Subnet"]["SubnetId"]
        self._places.append(lambda: ec2.delete_subnet(SubnetId=subnet))
        made = ec2.create_network_interface(
            SubnetId=subnet, TagSpecifications=specified("network-interface")
        )
        return Planted("network interface", made["NetworkInterface"]["NetworkInterfaceId"])

    def _role(self) -> Planted:
        """Named as CloudFormation names one of ours, untagged, with all that holds it."""
        iam, name = self._client("iam"), f"GpuWorkstation-Generation1MachineRoleB54D23D1-{SUFFIX}"
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        iam.put_role_policy(RoleName=name, PolicyName="inline", PolicyDocument=ALLOWS)
        managed = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
        iam.attach_role_policy(RoleName=name, PolicyArn=managed)
        return Planted("role", name)

    def _instance_profile(self) -> Planted:
        """Instance profiles of a stack bear no tags: CloudFormation has no property for them."""
        iam, role = self._client("iam"), "somebody"
        name = f"GpuImage-ImageInstanceProfileE31F42A3-{SUFFIX}"
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)
        self._places.append(lambda: iam.delete_role(RoleName=role))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role)
        return Planted("instance profile", name)

    def _policy(self) -> Planted:
        made = self._client("iam").create_policy(
            PolicyName="left", PolicyDocument=ALLOWS, Tags=TAGS
        )
        return Planted("policy", made["Policy"]["Arn"])

    def _oidc_provider(self) -> Planted:
        made = self._client("iam").create_open_id_connect_provider(
            Url="https://token.actions.githubusercontent.com",
            ClientIDList=["sts.amazonaws.com"],
            Tags=TAGS,
        )
        return Planted("OIDC provider", made["OpenIDConnectProviderArn"])

    def _function(self) -> Planted:
        iam, name = self._client("iam"), FUNCTION
        role = iam.create_role(RoleName="of-functions", AssumeRolePolicyDocument=TRUST)["Role"]
        self._places.append(lambda: iam.delete_role(RoleName="of-functions"))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("index.py", "def handler(event, context): pass")
        self._client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=role["Arn"],
            Handler="index.handler",
            Code={"ZipFile": packed.getvalue()},
        )
        return Planted("function", name)

    def _log_group(self) -> Planted:
        """As one that comes back: without tags, under the name that its writer gives it."""
        logs, name = self._client("logs"), f"/aws/lambda/{FUNCTION}"
        logs.create_log_group(logGroupName=name)
        return Planted("log group", name)

    def _parameter(self) -> Planted:
        name = "/gpustation/image/mxnet"
        self._client("ssm").put_parameter(Name=name, Value="ami-0", Type="String", Tags=TAGS)
        return Planted("parameter", name)

    def _bucket(self) -> Planted:
        """A versioned bucket as `cdk bootstrap` leaves it, with a version and a marker."""
        s3, name = self._client("s3"), f"cdk-hnb659fds-assets-{self.aws.account}-us-east-1"
        s3.create_bucket(Bucket=name)
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket=name, Key="asset with blanks.zip", Body=b"1")
        s3.delete_object(Bucket=name, Key="asset with blanks.zip")
        return Planted("bucket", name)

    def _schedule_group(self) -> Planted:
        self._client("scheduler").create_schedule_group(Name="left", Tags=TAGS)
        return Planted("schedule group", "left")

    def _schedule(self) -> list[Planted]:
        """In a group, whose tags are its own."""
        iam, scheduler = self._client("iam"), self._client("scheduler")
        group = self._schedule_group()
        trust = TRUST.replace("ec2.amazonaws.com", "scheduler.amazonaws.com")
        role = iam.create_role(RoleName="of-schedules", AssumeRolePolicyDocument=trust)["Role"]
        self._places.append(lambda: iam.delete_role(RoleName="of-schedules"))
        for name in (group.id, "default"):  # that in the default group is another's
            scheduler.create_schedule(
                Name="next",
                GroupName=name,
                ScheduleExpression="rate(1 day)",
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={
                    "Arn": f"arn:aws:lambda:us-east-1:{self.aws.account}:function:one",
                    "RoleArn": role["Arn"],
                },
            )
        self._places.append(lambda: scheduler.delete_schedule(Name="next", GroupName="default"))
        return [Planted("schedule", f"{group.id}/next"), group]

    def _rule(self) -> Planted:
        """With targets, without which it cannot be deleted."""
        events = self._client("events")
        events.put_rule(Name="left", EventPattern='{"source": ["aws.ec2"]}', Tags=TAGS)
        target = f"arn:aws:lambda:us-east-1:{self.aws.account}:function:one"
        targets = [{"Id": name, "Arn": target} for name in ("Target0", "Target1")]
        events.put_targets(Rule="left", Targets=targets)
        return Planted("rule", "left")

    def _topic(self) -> Planted:
        """With a subscription that nobody confirmed."""
        sns = self._client("sns")
        topic = str(sns.create_topic(Name="left", Tags=TAGS)["TopicArn"])
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
        return Planted("topic", topic)

    def _capacity_reservation(self) -> Planted:
        made = self._client("ec2").create_capacity_reservation(
            InstanceType="g4dn.xlarge",
            InstancePlatform="Linux/UNIX",
            AvailabilityZone="us-east-1a",
            InstanceCount=1,
            InstanceMatchCriteria="targeted",
            TagSpecifications=specified("capacity-reservation"),
        )["CapacityReservation"]
        return Planted("capacity reservation", made["CapacityReservationId"], 0.526 * 730)

    def _spot_request(self) -> list[Planted]:
        """Its machine has no tag of ours."""
        ec2 = self._client("ec2")
        self.aws.control.set_quota("L-3819A6DF", 4)
        self.aws.control.add_image("ami-0000000000000000a", root_device_type="instance-store")
        (machine,) = ec2.run_instances(
            ImageId="ami-0000000000000000a",
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            InstanceMarketOptions={
                "MarketType": "spot",
                "SpotOptions": {
                    "SpotInstanceType": "persistent",
                    "InstanceInterruptionBehavior": "stop",
                },
            },
            TagSpecifications=specified("spot-instances-request"),
        )["Instances"]
        return [
            Planted("spot request", machine["SpotInstanceRequestId"]),
            Planted("instance", machine["InstanceId"], (0.526 + 0.005) * 730),
        ]

    def _table(self) -> Planted:
        self._client("dynamodb").create_table(
            TableName="left",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            Tags=TAGS,
        )
        return Planted("table", "left")

    def _component(self) -> Planted:
        document = {
            "schemaVersion": "1.0",
            "phases": [
                {
                    "name": "build",
                    "steps": [
                        {
                            "name": "one",
                            "action": "ExecuteBash",
                            "inputs": {"commands": ["true"]},
                        }
                    ],
                }
            ],
        }
        made = self._client("imagebuilder").create_component(
            name="left",
            semanticVersion="1.0.0",
            platform="Linux",
            data=json.dumps(document),
            tags=PLAIN,
        )
        return Planted("component", made["componentBuildVersionArn"])

    def _image_recipe(self) -> Planted:
        made = self._client("imagebuilder").create_image_recipe(
            name="left", semanticVersion="1.0.0", parentImage=self._image_id(), tags=PLAIN
        )
        return Planted("image recipe", made["imageRecipeArn"])

    def _infrastructure_configuration(self) -> Planted:
        made = self._client("imagebuilder").create_infrastructure_configuration(
            name="gpuimage-mxnet", instanceProfileName="none", tags=PLAIN
        )
        return Planted("infrastructure configuration", made["infrastructureConfigurationArn"])

    def _distribution_configuration(self) -> Planted:
        made = self._client("imagebuilder").create_distribution_configuration(
            name="left", distributions=[{"region": "us-east-1"}], tags=PLAIN
        )
        return Planted("distribution configuration", made["distributionConfigurationArn"])


def parameter(value: str = "one") -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}
