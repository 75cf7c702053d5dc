"""Types, zones, images and public parameters: what AWS tells before a launch."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import UBUNTU

DLAMI = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"


@pytest.fixture
def ec2(aws: LocalAws) -> Any:
    return aws.client("ec2")


def test_types_have_their_true_numbers(ec2: Any) -> None:
    asked = ["g4dn.xlarge", "p4d.24xlarge"]
    rows = {
        row["InstanceType"]: row
        for row in ec2.describe_instance_types(InstanceTypes=asked)["InstanceTypes"]
    }
    assert rows["g4dn.xlarge"]["VCpuInfo"]["DefaultVCpus"] == 4
    assert rows["p4d.24xlarge"]["VCpuInfo"]["DefaultVCpus"] == 96
    (gpu,) = rows["p4d.24xlarge"]["GpuInfo"]["Gpus"]
    assert (gpu["Count"], gpu["Manufacturer"], gpu["Name"]) == (8, "NVIDIA", "A100")
    assert rows["g4dn.xlarge"]["ProcessorInfo"]["SupportedArchitectures"] == ["x86_64"]


def test_types_are_filtered_and_paged(ec2: Any) -> None:
    filters = [{"Name": "instance-type", "Values": ["g4dn.*"]}]
    pages = list(
        ec2.get_paginator("describe_instance_types").paginate(
            Filters=filters, PaginationConfig={"PageSize": 5}
        )
    )
    names = [row["InstanceType"] for page in pages for row in page["InstanceTypes"]]
    assert len(pages) == 2
    assert names == sorted(names)
    assert {"g4dn.xlarge", "g4dn.metal"} <= set(names)


def test_fails_when_a_type_or_filter_does_not_exist(ec2: Any) -> None:
    with pytest.raises(ClientError, match=r"do not exist: \[g4dn.xlrge\]"):
        ec2.describe_instance_types(InstanceTypes=["g4dn.xlrge"])
    with pytest.raises(ClientError, match="The filter 'colour' is invalid"):
        ec2.describe_instance_types(Filters=[{"Name": "colour", "Values": ["red"]}])


def offered(ec2: Any, kind: str, location: str = "availability-zone") -> list[str]:
    filters = [{"Name": "instance-type", "Values": [kind]}]
    rows = ec2.describe_instance_type_offerings(LocationType=location, Filters=filters)
    return [row["Location"] for row in rows["InstanceTypeOfferings"]]


def test_offerings_are_true_and_settable(aws: LocalAws, ec2: Any) -> None:
    true = offered(ec2, "g4dn.xlarge")
    assert "us-east-1e" not in true
    assert {"us-east-1a", "us-east-1-lax-1a"} <= set(true)
    assert offered(ec2, "g4dn.xlarge", "region") == ["us-east-1"]
    aws.control.set_offerings("g4dn.xlarge", ["us-east-1c"])
    assert offered(ec2, "g4dn.xlarge") == ["us-east-1c"]
    aws.control.set_offerings("g4dn.xlarge", [])
    assert offered(ec2, "g4dn.xlarge") == offered(ec2, "g4dn.xlarge", "region") == []
    aws.control.set_offerings("g4dn.xlarge", None)
    assert offered(ec2, "g4dn.xlarge") == true


def test_zones_have_types_and_one_is_local(ec2: Any) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [z["ZoneName"] for z in zones if z["ZoneType"] == "local-zone"] == ["us-east-1-lax-1a"]
    assert len(zones) == 7
    assert zones[0]["ZoneId"] == "use1-az1"
    filters = [
        {"Name": "zone-type", "Values": ["availability-zone"]},
        {"Name": "opt-in-status", "Values": ["opt-in-not-required"]},
    ]
    ordinary = ec2.describe_availability_zones(Filters=filters)["AvailabilityZones"]
    assert [z["ZoneName"] for z in ordinary] == [f"us-east-1{letter}" for letter in "abcdef"]


@pytest.mark.parametrize(("parameter", "size"), [(UBUNTU, 8), (DLAMI, 75)])
def test_public_parameter_names_an_image(
    aws: LocalAws, ec2: Any, parameter: str, size: int
) -> None:
    found = aws.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    (image,) = ec2.describe_images(ImageIds=[found])["Images"]
    assert len(found) == len("ami-") + 17
    assert (image["Architecture"], image["RootDeviceName"]) == ("x86_64", "/dev/sda1")
    (root,) = image["BlockDeviceMappings"]
    assert root["Ebs"]["VolumeSize"] == size


def test_images_differ_by_region(aws: LocalAws) -> None:
    here, there = (
        aws.client("ssm", region).get_parameter(Name=UBUNTU)["Parameter"]["Value"]
        for region in ("us-east-1", "eu-west-1")
    )
    assert here != there


def test_image_can_be_unsuitable(aws: LocalAws, ec2: Any) -> None:
    aws.control.add_image("ami-0aaaaaaaaaaaaaaaa", architecture="arm64")
    aws.control.add_image("ami-0cccccccccccccccc", root_device_type="instance-store")
    arm, store = (
        ec2.describe_images(ImageIds=[one])["Images"][0]
        for one in ("ami-0aaaaaaaaaaaaaaaa", "ami-0cccccccccccccccc")
    )
    assert arm["Architecture"] == "arm64"
    assert (store["RootDeviceType"], store["BlockDeviceMappings"]) == ("instance-store", [])
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        ec2.describe_images(ImageIds=["ami-0dddddddddddddddd"])


def test_fails_when_an_instance_filter_does_not_exist(ec2: Any) -> None:
    with pytest.raises(ClientError, match="The filter 'colour' is invalid"):
        ec2.describe_instances(Filters=[{"Name": "colour", "Values": ["red"]}])


def test_key_pair_is_deleted_by_its_id(ec2: Any) -> None:
    made, other = (ec2.create_key_pair(KeyName=name)["KeyPairId"] for name in ("one", "two"))
    ec2.delete_key_pair(KeyPairId=made)
    assert [pair["KeyPairId"] for pair in ec2.describe_key_pairs()["KeyPairs"]] == [other]
    ec2.delete_key_pair(KeyName="two")
    assert ec2.describe_key_pairs()["KeyPairs"] == []


def test_key_pairs_and_network_interfaces_keep_their_tags(ec2: Any) -> None:
    tags = [{"Key": "gpustation", "Value": "probe"}]
    ec2.create_key_pair(
        KeyName="tagged", TagSpecifications=[{"ResourceType": "key-pair", "Tags": tags}]
    )
    (subnet, *_) = ec2.describe_subnets()["Subnets"]
    interface = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"],
        TagSpecifications=[{"ResourceType": "network-interface", "Tags": tags}],
    )["NetworkInterface"]["NetworkInterfaceId"]
    (pair,) = ec2.describe_key_pairs(KeyNames=["tagged"])["KeyPairs"]
    (row,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    ec2.delete_key_pair(KeyName="tagged")
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    assert pair["Tags"] == row["TagSet"] == tags
