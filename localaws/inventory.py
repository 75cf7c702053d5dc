"""Lists what exists in the account, by AWS's interfaces, as a person would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BOOTSTRAP_STACK = "CDKToolkit"
BOOTSTRAP_PREFIXES = ("cdk-hnb659fds", "/cdk-bootstrap/")
PUBLIC_PARAMETERS = "/aws/"
Clients = Callable[[str], Any]


@dataclass(frozen=True)
class InventoryItem:
    """One resource that exists.

    Attributes:
        kind: Its kind in AWS's words.
        detail: State, size or the like.
    """

    kind: str
    id: str
    detail: str = ""


def inventory(client: Clients) -> list[InventoryItem]:
    """Everything that exists, except what AWS owns and what `cdk bootstrap` created."""
    rows = [*_stacks(client), *_machines(client), *_network(client)]
    rows += [*_identities(client), *_data(client), *_image_builder(client)]
    rows += [*_events(client)]
    return [row for row in rows if not row.id.startswith(BOOTSTRAP_PREFIXES)]


def _stacks(client: Clients) -> Iterator[InventoryItem]:
    for stack in client("cloudformation").describe_stacks()["Stacks"]:
        if stack["StackName"] != BOOTSTRAP_STACK and stack["StackStatus"] != "DELETE_COMPLETE":
            yield InventoryItem("stack", stack["StackName"], stack["StackStatus"])


def _machines(client: Clients) -> Iterator[InventoryItem]:
    ec2 = client("ec2")
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            state = instance["State"]["Name"]
            if state != "terminated":
                detail = f"{instance['InstanceType']} {state}"
                yield InventoryItem("instance", instance["InstanceId"], detail)
    for volume in ec2.describe_volumes()["Volumes"]:
        yield InventoryItem("volume", volume["VolumeId"], f"{volume['Size']} GiB {volume['State']}")
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        yield InventoryItem("image", image["ImageId"], image["Name"])
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        yield InventoryItem("snapshot", snapshot["SnapshotId"])
    for address in ec2.describe_addresses()["Addresses"]:
        yield InventoryItem("address", address["AllocationId"])
    for pair in ec2.describe_key_pairs()["KeyPairs"]:
        yield InventoryItem("key pair", pair["KeyName"])
    living = [{"Name": "state", "Values": ["open", "active", "disabled"]}]
    for row in ec2.describe_spot_instance_requests(Filters=living)["SpotInstanceRequests"]:
        detail = f"{row['LaunchSpecification']['InstanceType']} {row['State']}"
        yield InventoryItem("spot request", row["SpotInstanceRequestId"], detail)
    active = [{"Name": "state", "Values": ["active"]}]
    for row in ec2.describe_capacity_reservations(Filters=active)["CapacityReservations"]:
        detail = f"{row['InstanceType']} {row['AvailabilityZone']}"
        yield InventoryItem("capacity reservation", row["CapacityReservationId"], detail)
    for template in ec2.describe_launch_templates()["LaunchTemplates"]:
        yield InventoryItem("launch template", template["LaunchTemplateId"])


def _network(client: Clients) -> Iterator[InventoryItem]:
    ec2 = client("ec2")
    vpcs = {vpc["VpcId"]: vpc for vpc in ec2.describe_vpcs()["Vpcs"]}
    own = {name for name, vpc in vpcs.items() if not vpc["IsDefault"]}
    for name in sorted(own):
        yield InventoryItem("vpc", name, vpcs[name]["CidrBlock"])
    for subnet in ec2.describe_subnets()["Subnets"]:
        if not subnet["DefaultForAz"]:
            yield InventoryItem("subnet", subnet["SubnetId"], subnet["AvailabilityZone"])
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            yield InventoryItem("security group", group["GroupId"], group["GroupName"])
    for table in ec2.describe_route_tables()["RouteTables"]:
        if table["VpcId"] not in vpcs.keys() - own:
            yield InventoryItem("route table", table["RouteTableId"])
    for gateway in ec2.describe_internet_gateways()["InternetGateways"]:
        attached = {attachment["VpcId"] for attachment in gateway.get("Attachments", [])}
        if not attached & (vpcs.keys() - own):
            yield InventoryItem("internet gateway", gateway["InternetGatewayId"])


def _identities(client: Clients) -> Iterator[InventoryItem]:
    iam = client("iam")
    for role in iam.list_roles()["Roles"]:
        if not role["Path"].startswith("/aws-service-role/"):  # created by AWS
            yield InventoryItem("role", role["RoleName"])
    for profile in iam.list_instance_profiles()["InstanceProfiles"]:
        yield InventoryItem("instance profile", profile["InstanceProfileName"])
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        yield InventoryItem("policy", policy["PolicyName"])
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        yield InventoryItem("identity provider", provider["Arn"])


def _data(client: Clients) -> Iterator[InventoryItem]:
    for function in client("lambda").list_functions()["Functions"]:
        yield InventoryItem("function", function["FunctionName"])
    for group in client("logs").describe_log_groups()["logGroups"]:
        yield InventoryItem("log group", group["logGroupName"])
    for parameter in client("ssm").describe_parameters()["Parameters"]:
        if not parameter["Name"].startswith(PUBLIC_PARAMETERS):
            yield InventoryItem("parameter", parameter["Name"])
    for bucket in client("s3").list_buckets()["Buckets"]:
        yield InventoryItem("bucket", bucket["Name"])
    for repository in client("ecr").describe_repositories()["repositories"]:
        yield InventoryItem("repository", repository["repositoryName"])


def _events(client: Clients) -> Iterator[InventoryItem]:
    scheduler = client("scheduler")
    for page in scheduler.get_paginator("list_schedules").paginate():
        for row in page["Schedules"]:
            yield InventoryItem("schedule", f"{row['GroupName']}/{row['Name']}", row["State"])
    for page in scheduler.get_paginator("list_schedule_groups").paginate():
        for row in page["ScheduleGroups"]:
            if row["Name"] != "default":  # every account has it
                yield InventoryItem("schedule group", row["Name"])
    for rule in client("events").list_rules()["Rules"]:
        yield InventoryItem("rule", rule["Name"], rule["State"])
    for name in client("dynamodb").list_tables()["TableNames"]:
        yield InventoryItem("table", name)
    sns = client("sns")
    for topic in sns.list_topics()["Topics"]:
        yield InventoryItem("topic", topic["TopicArn"])
    for row in sns.list_subscriptions()["Subscriptions"]:
        yield InventoryItem("subscription", f"{row['TopicArn']} {row['Endpoint']}")


def _image_builder(client: Clients) -> Iterator[InventoryItem]:
    builder = client("imagebuilder")
    for component in builder.list_components()["componentVersionList"]:
        yield InventoryItem("component", component["arn"])
    for recipe in builder.list_image_recipes()["imageRecipeSummaryList"]:
        yield InventoryItem("image recipe", recipe["arn"])
    configurations = builder.list_infrastructure_configurations()
    for configuration in configurations["infrastructureConfigurationSummaryList"]:
        yield InventoryItem("infrastructure configuration", configuration["arn"])
    configurations = builder.list_distribution_configurations()
    for configuration in configurations["distributionConfigurationSummaryList"]:
        yield InventoryItem("distribution configuration", configuration["arn"])
    for image in builder.list_images()["imageVersionList"]:
        yield InventoryItem("built image", image["arn"])
