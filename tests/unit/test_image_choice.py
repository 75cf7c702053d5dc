from collections.abc import Callable
from typing import Any

import pytest

from gpustation.catalog.capacity import SWITCHED_OFF
from gpustation.catalog.images import DATA_VOLUMES_TAG, IMAGE_PARAMETERS
from gpustation.handlers import image_choice
from gpustation.handlers.capacity_hold import Clients, Found
from gpustation.handlers.responder import RefusedError, Response
from tests.unit.stubbed_aws import Event, StubbedAws

MakeEvent = Callable[..., Event]
AMI = "ami-0123456789abcdef0"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


def properties(**changes: str) -> dict[str, str]:
    return {
        "InstanceType": "g4dn.xlarge",
        "Image": "ubuntu-22.04",
        "Framework": "mxnet",
        "DiskGib": "64",
        "AvailabilityZone": "auto",
        "ReadyTimeoutMinutes": "30",
        "Generation": "1",
    } | changes


def image(**changes: Any) -> dict[str, Any]:
    return {
        "ImageId": AMI,
        "State": "available",
        "Architecture": "x86_64",
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8}}],
    } | changes


def answer_parameter(aws: StubbedAws, name: str, value: str = AMI) -> None:
    aws.answer("ssm", "get_parameter", {"Parameter": {"Value": value}}, {"Name": name})


def answer_image(aws: StubbedAws, **changes: Any) -> None:
    aws.answer("ec2", "describe_images", {"Images": [image(**changes)]}, {"ImageIds": [AMI]})


def answer_zones(aws: StubbedAws, *offered: str) -> None:
    zones = [{"ZoneName": zone} for zone in ZONES]
    ordinary = [("zone-type", "availability-zone"), ("state", "available")]
    aws.answer(
        "ec2",
        "describe_availability_zones",
        {"AvailabilityZones": zones},
        {"Filters": [{"Name": name, "Values": [value]} for name, value in ordinary]},
    )
    offers = [{"Location": zone} for zone in offered]
    aws.answer("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": offers})


UBUNTU = IMAGE_PARAMETERS["ubuntu-22.04"]


def clients(aws: StubbedAws) -> Clients:
    ec2 = aws.clients["ec2"]
    return Clients(aws.clients["cloudformation"], ec2, ec2, aws.clients["service-quotas"])


def decide(event: Event, aws: StubbedAws) -> Response:
    answer = image_choice.decide(event, clients(aws), aws.clients["ssm"])
    aws.assert_all_asked()
    return answer


def refusal(event: Event, aws: StubbedAws) -> str:
    with pytest.raises(RefusedError) as refused:
        image_choice.decide(event, clients(aws), aws.clients["ssm"])
    aws.assert_all_asked()
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        *IMAGE_PARAMETERS.items(),
        ("baked", "/gpustation/image/mxnet"),
        ("baked:Anna-2", "/gpustation/Anna-2/image/mxnet"),
        ("/my/own", "/my/own"),
    ],
)
def test_an_image_by_name_is_read_from_its_parameter(
    aws: StubbedAws, event: MakeEvent, name: str, parameter: str
) -> None:
    answer_parameter(aws, parameter)
    answer_image(aws)
    answer_zones(aws, "us-east-1b")
    answer = decide(event("Create", properties(Image=name)), aws)
    assert answer.data == {
        "ImageId": AMI,
        "RootDeviceName": "/dev/sda1",
        "AvailabilityZone": "us-east-1b",
        "Capacity": SWITCHED_OFF,
        "Hold": "none",
    }


def test_an_ami_id_is_taken_as_it_is(aws: StubbedAws, event: MakeEvent) -> None:
    answer_image(aws)
    answer_zones(aws, "us-east-1a")
    assert decide(event("Create", properties(Image=AMI)), aws).data["ImageId"] == AMI


def test_local_zones_are_never_taken(aws: StubbedAws, event: MakeEvent) -> None:
    answer_parameter(aws, UBUNTU)
    answer_image(aws)
    answer_zones(aws, "us-east-1-bos-1a", "us-east-1c")
    answer = decide(event("Create", properties()), aws)
    assert answer.data["AvailabilityZone"] == "us-east-1c"


def test_another_try_meets_another_zone(aws: StubbedAws, event: MakeEvent) -> None:
    seen = set()
    for number in range(20):
        answer_parameter(aws, UBUNTU)
        answer_image(aws)
        answer_zones(aws, *ZONES)
        request = event("Create", properties()) | {"StackId": f"stack/GpuWorkstation/{number}"}
        seen.add(decide(request, aws).data["AvailabilityZone"])
    assert seen == set(ZONES)


def test_a_repeated_request_gets_the_same_zone(aws: StubbedAws, event: MakeEvent) -> None:
    answers = set()
    for _ in range(2):
        answer_parameter(aws, UBUNTU)
        answer_image(aws)
        answer_zones(aws, *ZONES)
        answers.add(decide(event("Create", properties()), aws).physical_id)
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("changes", "image_changes", "words"),
    [
        ({}, {"Architecture": "arm64"}, "built for arm64"),
        ({}, {"State": "pending"}, "is pending"),
        ({}, {"Platform": "windows"}, "use an Ubuntu image"),
        ({}, {"BlockDeviceMappings": []}, "no EBS root volume"),
        (
            {"DiskGib": "64"},
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 65}}]},
            "set disk_gib=65",
        ),
    ],
)
def test_fails_when_no_machine_can_start_from_the_image(
    aws: StubbedAws,
    event: MakeEvent,
    changes: dict[str, str],
    image_changes: dict[str, Any],
    words: str,
) -> None:
    answer_parameter(aws, UBUNTU)
    answer_image(aws, **image_changes)
    assert words in refusal(event("Create", properties(**changes)), aws)


ROOT = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 8, "DeleteOnTermination": True}}
DATA = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 500, "DeleteOnTermination": False}}
EPHEMERAL = {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"}


@pytest.mark.parametrize(
    "tags", [[], [{"Key": DATA_VOLUMES_TAG, "Value": "/dev/sdg /dev/sd"}]], ids=["none", "others"]
)
def test_an_image_with_volumes_that_nobody_asked_for_is_refused(
    aws: StubbedAws, event: MakeEvent, tags: list[dict[str, str]]
) -> None:
    answer_parameter(aws, UBUNTU)
    other = {"DeviceName": "/dev/sdh", "Ebs": {"SnapshotId": "snap-1"}}
    answer_image(aws, BlockDeviceMappings=[ROOT, EPHEMERAL, DATA, other], Tags=tags)
    text = refusal(event("Create", properties()), aws)
    assert (
        "are billed and may outlive the machine: 500 GiB at /dev/sdf, ? GiB at /dev/sdh; " in text
    )
    assert "gpustation image save" in text


def test_volumes_that_the_image_was_asked_to_hold_are_taken(
    aws: StubbedAws, event: MakeEvent
) -> None:
    answer_parameter(aws, UBUNTU)
    tags = [{"Key": DATA_VOLUMES_TAG, "Value": "/dev/sdf"}]
    answer_image(aws, BlockDeviceMappings=[ROOT, EPHEMERAL, DATA], Tags=tags)
    answer_zones(aws, *ZONES)
    assert decide(event("Create", properties()), aws).data["RootDeviceName"] == "/dev/sda1"


def test_an_image_that_fills_the_disk_to_the_last_gib_is_taken(
    aws: StubbedAws, event: MakeEvent
) -> None:
    answer_parameter(aws, UBUNTU)
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 64}}
    answer_image(aws, BlockDeviceMappings=[disk])
    answer_zones(aws, *ZONES)
    assert decide(event("Create", properties(DiskGib="64")), aws).data["ImageId"] == AMI


def test_fails_when_the_image_does_not_exist(aws: StubbedAws, event: MakeEvent) -> None:
    aws.fail("ec2", "describe_images", "InvalidAMIID.NotFound")
    assert "does not exist in us-east-1" in refusal(event("Create", properties(Image=AMI)), aws)


def test_an_image_that_is_not_shown_may_be_disabled_or_not_allowed(
    aws: StubbedAws, event: MakeEvent
) -> None:
    aws.answer("ec2", "describe_images", {"Images": []})
    text = refusal(event("Create", properties(Image=AMI)), aws)
    for words in ("does not exist", "not shared", "is disabled", "Allowed AMIs"):
        assert words in text


def test_fails_when_the_parameter_does_not_exist(aws: StubbedAws, event: MakeEvent) -> None:
    aws.fail("ssm", "get_parameter", "ParameterNotFound")
    text = refusal(event("Create", properties(Image="baked")), aws)
    assert "/gpustation/image/mxnet does not exist" in text
    assert "bake one with: cdk deploy Image/GpuImage" in text


def test_the_remedy_for_a_missing_image_names_whose_it_is(
    aws: StubbedAws, event: MakeEvent
) -> None:
    aws.fail("ssm", "get_parameter", "ParameterNotFound")
    text = refusal(event("Create", properties(Image="baked:anna")), aws)
    assert "image=baked:anna: the SSM parameter /gpustation/anna/image/mxnet does not" in text
    assert "bake one with: cdk deploy Image/GpuImage-anna -c name=anna, or" in text


def test_fails_when_a_parameter_of_their_own_does_not_exist(
    aws: StubbedAws, event: MakeEvent
) -> None:
    aws.fail("ssm", "get_parameter", "ParameterNotFound")
    text = refusal(event("Create", properties(Image="/my/own")), aws)
    assert "put the id of an AMI into it" in text
    assert "bake" not in text


OURS = {"gpustation:framework": "mxnet", "gpustation:gpu-architectures": "7.5 8.0 8.6 8.9"}


def tags(**changes: str) -> dict[str, list[dict[str, str]]]:
    named = {f"gpustation:{key.replace('_', '-')}": value for key, value in changes.items()}
    return {"Tags": [{"Key": key, "Value": value} for key, value in (OURS | named).items()]}


@pytest.mark.parametrize("instance_type", ["g4dn.xlarge", "g5.xlarge", "g6.xlarge", "p4d.24xlarge"])
def test_an_image_that_says_that_it_fits_is_taken(
    aws: StubbedAws, event: MakeEvent, instance_type: str
) -> None:
    answer_parameter(aws, "/gpustation/image/mxnet")
    answer_image(aws, **tags())
    answer_zones(aws, *ZONES)
    changed = properties(Image="baked", InstanceType=instance_type)
    assert decide(event("Create", changed), aws).data["ImageId"] == AMI


@pytest.mark.parametrize("image_setting", ["baked", AMI])
@pytest.mark.parametrize(
    ("said", "instance_type", "words"),
    [
        ({"framework": "pytorch"}, "g4dn.xlarge", ["contains framework=pytorch, not mxnet"]),
        ({}, "p3dn.24xlarge", ["7.5, 8.0, 8.6, 8.9", "p3dn.24xlarge has 7.0", "image_instance"]),
        ({"gpu_architectures": "7.0"}, "g4dn.xlarge", ["capability 7.0, and", "has 7.5"]),
        ({"gpu_architectures": "17.5"}, "g4dn.xlarge", ["has 7.5"]),
    ],
)
def test_fails_when_the_image_says_that_it_does_not_fit(
    aws: StubbedAws,
    event: MakeEvent,
    image_setting: str,
    said: dict[str, str],
    instance_type: str,
    words: list[str],
) -> None:
    if image_setting == "baked":
        answer_parameter(aws, "/gpustation/image/mxnet")
    answer_image(aws, **tags(**said))
    changed = properties(Image=image_setting, InstanceType=instance_type)
    text = refusal(event("Create", changed), aws)
    assert text.startswith(f"image={image_setting} ({AMI})")
    for word in [*words, "cdk deploy Image/GpuImage"]:
        assert word in text


def test_fails_when_the_parameter_holds_no_image(aws: StubbedAws, event: MakeEvent) -> None:
    answer_parameter(aws, "/my/own", "hello")
    assert "must hold an AMI id" in refusal(event("Create", properties(Image="/my/own")), aws)


@pytest.mark.parametrize(
    ("zone", "offered", "words"),
    [
        ("auto", [], "no zone of us-east-1 offers it"),
        ("us-east-1a", ["us-east-1b", "us-east-1c"], "offered in us-east-1b, us-east-1c only"),
    ],
)
def test_fails_when_the_zone_does_not_offer_the_type(
    aws: StubbedAws, event: MakeEvent, zone: str, offered: list[str], words: str
) -> None:
    answer_parameter(aws, UBUNTU)
    answer_image(aws)
    answer_zones(aws, *offered)
    assert words in refusal(event("Create", properties(AvailabilityZone=zone)), aws)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("OptInRequired", "the account is not signed up for EC2 yet"),
        ("AuthFailure", "the account may not use EC2 in this region"),
        ("UnsupportedOperation", "DescribeImages: UnsupportedOperation"),
    ],
)
def test_fails_in_words_when_the_account_may_not_ask(
    aws: StubbedAws, event: MakeEvent, code: str, words: str
) -> None:
    aws.fail("ec2", "describe_images", code, 401)
    text = refusal(event("Create", properties(Image=AMI)), aws)
    assert text.startswith("cannot choose image and zone: ")
    assert words in text and code in text


def test_fails_in_one_line_when_an_answer_lacks_what_it_must_have(
    aws: StubbedAws, event: MakeEvent
) -> None:
    aws.answer("ec2", "describe_images", {"Images": [{"Architecture": "x86_64"}]})
    text = refusal(event("Create", properties(Image=AMI)), aws)
    assert "unexpected response of AWS (KeyError: 'ImageId')" in text
    answer_parameter(aws, UBUNTU)
    answer_image(aws)
    aws.answer("ec2", "describe_availability_zones", {"AvailabilityZones": []})
    aws.answer("ec2", "describe_instance_type_offerings", {"InstanceTypeOfferings": []})
    with pytest.raises(RefusedError, match="availability zones: AWS named none"):
        image_choice.decide(event("Create", properties()), clients(aws), aws.clients["ssm"])


@pytest.mark.parametrize("changes", [{"Architecture": None}, {"BlockDeviceMappings": [{}]}])
def test_fails_when_the_image_does_not_tell_what_it_is(
    aws: StubbedAws, event: MakeEvent, changes: dict[str, Any]
) -> None:
    told = {key: value for key, value in (image() | changes).items() if value is not None}
    aws.answer("ec2", "describe_images", {"Images": [told]}, {"ImageIds": [AMI]})
    assert refusal(event("Create", properties(Image=AMI)), aws).startswith(f"image={AMI} ({AMI})")


def test_fails_when_aws_cannot_be_asked(aws: StubbedAws, event: MakeEvent) -> None:
    aws.fail("ssm", "get_parameter", "ThrottlingException")
    assert "deploy again, nothing was created" in refusal(event("Create", properties()), aws)


class TestUpdate:
    physical_id = (
        f"{AMI};/dev/sda1;us-east-1b;Image=ubuntu-22.04;Framework=mxnet;DiskGib=64;"
        "AvailabilityZone=auto;ReadyTimeoutMinutes=30"
    )

    def update(self, make: MakeEvent, **changes: str) -> Event:
        request = make("Update", properties(**changes), properties())
        return request | {"PhysicalResourceId": self.physical_id}

    @pytest.mark.parametrize("changes", [{"InstanceType": "g5.xlarge"}, {"Generation": "1"}])
    def test_gets_the_same_answer_without_asking_aws(
        self, aws: StubbedAws, event: MakeEvent, changes: dict[str, str]
    ) -> None:
        answer = decide(self.update(event, **changes), aws)
        assert answer.physical_id == self.physical_id
        assert answer.data == {
            "ImageId": AMI,
            "RootDeviceName": "/dev/sda1",
            "AvailabilityZone": "us-east-1b",
            "Capacity": SWITCHED_OFF,
            "Hold": "none",
        }

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"Image": "dlami"}, "image=dlami (the machine has ubuntu-22.04)"),
            ({"Framework": "pytorch"}, "framework=pytorch (the machine has mxnet)"),
            ({"DiskGib": "100"}, "disk_gib=100 (the machine has 64)"),
            ({"AvailabilityZone": "us-east-1b"}, "availability_zone=us-east-1b"),
            ({"ReadyTimeoutMinutes": "60"}, "ready_timeout_minutes=60"),
        ],
    )
    def test_is_refused_when_it_would_be_another_machine(
        self, aws: StubbedAws, event: MakeEvent, changes: dict[str, str], words: str
    ) -> None:
        text = refusal(self.update(event, **changes), aws)
        assert words in text
        assert '"generation": 2' in text
        assert "-c generation=2" in text

    def test_back_to_what_it_was_is_the_same_answer_after_a_refusal(
        self, aws: StubbedAws, event: MakeEvent
    ) -> None:
        refusal(self.update(event, DiskGib="100"), aws)
        assert decide(self.update(event), aws).physical_id == self.physical_id


class TestUpdateOfTheFirstRelease(TestUpdate):
    """Its physical ids have the values without names."""

    physical_id = f"{AMI};/dev/sda1;us-east-1b;ubuntu-22.04;mxnet;64;auto;30"


@pytest.mark.parametrize("given", [{}, {"Framework": "mxnet"}])
@pytest.mark.parametrize(
    "physical_id",
    [
        f"{AMI};/dev/sda1;us-east-1b;/my/own;mxnet;64;us-east-1b;30",
        f"{AMI};/dev/sda1;us-east-1b;Image=/my/own;Framework=mxnet;Spot=true",
    ],
)
def test_what_is_not_given_is_what_the_machine_has(
    aws: StubbedAws, event: MakeEvent, given: dict[str, str], physical_id: str
) -> None:
    update = event("Update", {"InstanceType": "g5.xlarge"} | given, properties())
    answer = decide(update | {"PhysicalResourceId": physical_id}, aws)
    assert answer.physical_id == physical_id
    assert answer.data["ImageId"] == AMI


def test_a_setting_that_the_machine_is_older_than_has_the_value_of_before(
    aws: StubbedAws, event: MakeEvent
) -> None:
    old = TestUpdateOfTheFirstRelease.physical_id
    before = {"Before": {"spot": "false"}}
    same, other = (
        event("Update", properties(Others={"spot": value}, **before), properties())
        | {"PhysicalResourceId": old}
        for value in ("false", "true")
    )
    assert decide(same, aws).physical_id == old
    assert "spot=true (the machine has false)" in refusal(other, aws)


def test_a_new_machine_gets_the_defaults_of_what_is_not_given(
    aws: StubbedAws, event: MakeEvent
) -> None:
    answer_parameter(aws, IMAGE_PARAMETERS["ubuntu-24.04"])
    answer_image(aws)
    answer_zones(aws, "us-east-1b")
    answer = decide(event("Create", {"InstanceType": "g4dn.xlarge"}), aws)
    assert answer.physical_id == TestUpdate.physical_id.replace("22.04", "24.04")
    found = Found("us-east-1b", SWITCHED_OFF)
    assert image_choice.Choice.parse(answer.physical_id).response(found, {}) == answer
