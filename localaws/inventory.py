"""What is left in the account, asked by ordinary API calls as a person would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BOOTSTRAP_STACK = "CDKToolkit"
BOOTSTRAP_PREFIXES = ("cdk-hnb659fds", "/cdk-bootstrap/")
PUBLIC_PARAMETERS = "/aws/"
Clients = Callable[[str], Any]


@dataclass(frozen=True)
class Leftover:
    """One thing that exists: its kind in AWS's words, its id, and what tells it apart."""

    kind: str
    id: str
    detail: str = ""


def leftovers(client: Clients) -> list[Leftover]:
    """Everything that exists and is neither AWS's own nor made by `cdk bootstrap`."""
    rows = [*_stacks(client), *_machines(client), *_network(client)]
    rows += [*_identities(client), *_data(client), *_image_builder(client)]
    return [row for row in rows if not row.id.startswith(BOOTSTRAP_PREFIXES)]


def _stacks(client: Clients) -> Iterator[Leftover]:
    for stack in client("cloudformation").describe_stacks()["Stacks"]:
        if stack["StackName"] != BOOTSTRAP_STACK and stack["StackStatus"] != "DELETE_COMPLETE":
            yield Leftover("stack", stack["StackName"], stack["StackStatus"])


def _machines(client: Clients) -> Iterator[Leftover]:
    ec2 = client("ec2")
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            state = instance["State"]["Name"]
            if state != "terminated":
                detail = f"{instance['InstanceType']} {state}"
                yield Leftover("instance", instance["InstanceId"], detail)
    for volume in ec2.describe_volumes()["Volumes"]:
        yield Leftover("volume", volume["VolumeId"], f"{volume['Size']} GiB {volume['State']}")
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        yield Leftover("image", image["ImageId"], image["Name"])
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        yield Leftover("snapshot", snapshot["SnapshotId"])
    for address in ec2.describe_addresses()["Addresses"]:
        yield Leftover("address", address["AllocationId"])
    for pair in ec2.describe_key_pairs()["KeyPairs"]:
        yield Leftover("key pair", pair["KeyName"])
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        yield Leftover("launch template", template["LaunchTemplateId"])


def _network(client: Clients) -> Iterator[Leftover]:
    ec2 = client("ec2")
    vpcs = {vpc["VpcId"]: vpc for vpc in ec2.describe_vpcs()["Vpcs"]}
    ours = {name for name, vpc in vpcs.items() if not vpc["IsDefault"]}
    for name in sorted(ours):
        yield Leftover("vpc", name, vpcs[name]["CidrBlock"])
    for subnet in ec2.describe_subnets()["Subnets"]:
        if not subnet["DefaultForAz"]:
            yield Leftover("subnet", subnet["SubnetId"], subnet["AvailabilityZone"])
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            yield Leftover("security group", group["GroupId"], group["GroupName"])
    for table in ec2.describe_route_tables()["RouteTables"]:
        if table["VpcId"] not in vpcs.keys() - ours:
            yield Leftover("route table", table["RouteTableId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        attached = {attachment["VpcId"] for attachment in gateway.get("Attachments", [])}
        if not attached & (vpcs.keys() - ours):
            yield Leftover("internet gateway", gateway["InternetGatewayId"])


def _identities(client: Clients) -> Iterator[Leftover]:
    iam = client("iam")
    for role in iam.list_roles()["Roles"]:
        if not role["Path"].startswith("/aws-service-role/"):  # AWS's own, which stays
            yield Leftover("role", role["RoleName"])
    for profile in iam.list_instance_profiles()["InstanceProfiles"]:
        yield Leftover("instance profile", profile["InstanceProfileName"])
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        yield Leftover("policy", policy["PolicyName"])
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        yield Leftover("identity provider", provider["Arn"])


def _data(client: Clients) -> Iterator[Leftover]:
    for function in client("lambda").list_functions()["Functions"]:
        yield Leftover("function", function["FunctionName"])
    for group in client("logs").describe_log_groups()["logGroups"]:
        yield Leftover("log group", group["logGroupName"])
    for parameter in client("ssm").describe_parameters()["Parameters"]:
        if not parameter["Name"].startswith(PUBLIC_PARAMETERS):
            yield Leftover("parameter", parameter["Name"])
    for bucket in client("s3").list_buckets()["Buckets"]:
        yield Leftover("bucket", bucket["Name"])
    for repository in client("ecr").describe_repositories()["repositories"]:
        yield Leftover("repository", repository["repositoryName"])


def _image_builder(client: Clients) -> Iterator[Leftover]:
    builder = client("imagebuilder")
    for component in builder.list_components()["componentVersionList"]:
        yield Leftover("component", component["arn"])
    for recipe in builder.list_image_recipes()["imageRecipeSummaryList"]:
        yield Leftover("image recipe", recipe["arn"])
    configurations = builder.list_infrastructure_configurations()
    for one in configurations["infrastructureConfigurationSummaryList"]:
        yield Leftover("infrastructure configuration", one["arn"])
    configurations = builder.list_distribution_configurations()
    for one in configurations["distributionConfigurationSummaryList"]:
        yield Leftover("distribution configuration", one["arn"])
    for image in builder.list_images()["imageVersionList"]:
        yield Leftover("built image", image["arn"])
