"""``leftovers --delete`` against the embedded AWS: only what is proven goes, and only if asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gpustation.console.statuses import FINDING, NO_ACCESS, USAGE
from localaws import LocalAws
from tests.cli.conftest import Terminal, Verb
from tests.support.probe_stack import Stack

OWNER = "GpuWorkstation-gone"
TAGS = [{"Key": "gpustation", "Value": OWNER}]
CALLS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "scheduler.amazonaws.com"},
            }
        ],
    }
)
PARAMETER = "/gpustation/gone/image/mxnet"


def kept(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": kind, "DeletionPolicy": "Retain", "Properties": properties}


def volume(aws: LocalAws, owner: str) -> str:
    made = aws.client("ec2").create_volume(
        AvailabilityZone="us-east-1a",
        Size=8,
        TagSpecifications=[
            {"ResourceType": "volume", "Tags": [{"Key": "gpustation", "Value": owner}]}
        ],
    )
    return str(made["VolumeId"])


@pytest.fixture
def left(aws: LocalAws) -> Iterator[dict[str, str]]:
    """A deleted stack's volume, group and parameter, and a volume that only has our tag."""
    ec2, ssm = aws.client("ec2"), aws.client("ssm")
    stack = Stack(aws, OWNER)
    resources = {
        "Vpc": kept("AWS::EC2::VPC", CidrBlock="10.7.0.0/16", Tags=TAGS),
        "Group": kept(
            "AWS::EC2::SecurityGroup", GroupDescription="g", VpcId={"Ref": "Vpc"}, Tags=TAGS
        ),
        "Parameter": kept(
            "AWS::SSM::Parameter",
            Name=PARAMETER,
            Type="String",
            Value="x",
            Tags={"gpustation": OWNER},
        ),
    }
    assert stack.create(resources) == "CREATE_COMPLETE"
    ids = {name: stack.physical_id(name) for name in resources}
    ids = {"Volume": volume(aws, OWNER), **ids}
    assert stack.delete() == "DELETE_COMPLETE"
    foreign = volume(aws, "somebody")
    yield {**ids, "foreign": foreign}
    aws.control.reset()
    for call in (
        lambda: ec2.delete_volume(VolumeId=foreign),
        lambda: ec2.delete_volume(VolumeId=ids["Volume"]),
        lambda: ec2.delete_security_group(GroupId=ids["Group"]),
        lambda: ec2.delete_vpc(VpcId=ids["Vpc"]),
        lambda: ssm.delete_parameter(Name=PARAMETER),
    ):
        try:
            call()
        except ec2.exceptions.ClientError:
            continue


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers to be given; questions are answered with the first that is left."""
    answers: list[str] = []
    monkeypatch.setattr("sys.stdin", Terminal(answers))
    return answers


def ids(verb: Verb, *words: str) -> set[str]:
    return {row["id"] for row in verb("leftovers", "--json", *words).document["left"]}


def states(ran: Any) -> dict[str, str]:
    return {row["id"]: row["state"] for row in ran.document["deletion"]}


def test_rows_say_whether_delete_takes_them(verb: Verb, left: dict[str, str]) -> None:
    rows = {row["id"]: row for row in verb("leftovers", "--json").document["left"]}
    assert {*rows} == {*left.values()}
    assert rows[left["foreign"]]["proof"] == ""
    assert rows[left["foreign"]]["obstacle"].startswith("no tag proves")
    for name in ("Volume", "Vpc", "Group", "Parameter"):
        assert rows[left[name]]["proof"].startswith("tag ")
        assert rows[left[name]]["obstacle"] == ""


def test_nothing_is_deleted_without_a_terminal_and_ids(verb: Verb, left: dict[str, str]) -> None:
    ran = verb("leftovers", "--delete")
    assert ran.status == FINDING
    assert "standard input is not a terminal" in ran.err
    ran = verb("leftovers", "--delete", "--yes")
    assert ran.status == USAGE
    assert "needs the ids" in ran.err
    assert ids(verb) == {*left.values()}


def test_ids_select_rows(verb: Verb, left: dict[str, str]) -> None:
    ran = verb("leftovers", "--delete", "--yes", "--json", left["Volume"])
    assert ran.status == 0
    assert states(ran) == {left["Volume"]: "deleted"}
    assert ids(verb) == {*left.values()} - {left["Volume"]}


def test_doubtful_and_unproven_rows_are_never_taken(verb: Verb, left: dict[str, str]) -> None:
    for name, why in ((left["foreign"], "no tag proves"), ("vol-0", "is the id of no row")):
        ran = verb("leftovers", "--delete", "--yes", name, left["Volume"])
        assert ran.status == USAGE
        assert why in ran.err
    assert ids(verb) == {*left.values()}


@pytest.mark.parametrize("answer", ["", "no", "delete"])
def test_anything_but_yes_deletes_nothing(
    verb: Verb, left: dict[str, str], terminal: list[str], answer: str
) -> None:
    terminal.append(answer)
    ran = verb("leftovers", "--delete")
    assert ran.status == FINDING
    assert "nothing was changed" in ran.err
    assert f"volume {left['Volume']}" in ran.out, "it is shown first"
    assert ids(verb) == {*left.values()}


def test_yes_deletes_all_that_is_proven_in_order(
    verb: Verb, left: dict[str, str], terminal: list[str]
) -> None:
    terminal.append("yes")
    ran = verb("leftovers", "--delete")
    assert ran.status == 0, ran.err
    done = [line.split()[-1] for line in ran.out.splitlines() if line.startswith("deleted: ")]
    assert done == [left[name] for name in ("Volume", "Group", "Vpc", "Parameter")]
    assert ids(verb) == {left["foreign"]}


def test_a_fault_is_reported_and_the_rest_goes(
    aws: LocalAws, verb: Verb, left: dict[str, str]
) -> None:
    aws.control.fault("DeleteSecurityGroup", "deny")
    names = [left[name] for name in ("Volume", "Group", "Vpc", "Parameter")]
    ran = verb("leftovers", "--delete", "--yes", "--json", *names)
    assert ran.status == FINDING
    assert states(ran) == {
        left["Volume"]: "deleted",
        left["Group"]: "failed",
        left["Vpc"]: "skipped",
        left["Parameter"]: "deleted",
    }
    assert f"failed: security group {left['Group']}: UnauthorizedOperation" in ran.err
    aws.control.reset()
    assert ids(verb) == {left["Group"], left["Vpc"], left["foreign"]}


def test_what_came_into_use_meanwhile_is_left(
    aws: LocalAws, verb: Verb, left: dict[str, str], terminal: list[str], monkeypatch: Any
) -> None:
    """It is read again right before: here a machine gets the volume while the person is asked."""
    ec2 = aws.client("ec2")
    aws.control.add_image("ami-0000000000000000b", root_device_type="instance-store")

    machines: list[str] = []

    def answer() -> str:
        (made,) = ec2.run_instances(
            ImageId="ami-0000000000000000b",
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            Placement={"AvailabilityZone": "us-east-1a"},
        )["Instances"]
        machines.append(made["InstanceId"])
        ec2.attach_volume(VolumeId=left["Volume"], InstanceId=made["InstanceId"], Device="/dev/sdf")
        return "yes"

    monkeypatch.setattr("sys.stdin.readline", answer)
    ran = verb("leftovers", "--delete", "--json", left["Volume"])
    (machine,) = machines
    ec2.detach_volume(VolumeId=left["Volume"])
    ec2.terminate_instances(InstanceIds=[machine])
    assert ran.status == FINDING
    assert states(ran) == {left["Volume"]: "skipped"}
    assert f"attached to {machine}" in ran.err
    assert left["Volume"] in ids(verb)


class TestSeveralRegions:
    @pytest.fixture(autouse=True)
    def regions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two are enough; the account has some thirty."""
        from gpustation.leftovers import regions

        monkeypatch.setattr(regions, "enabled_regions", lambda _: ["us-east-1", "eu-west-1"])

    def test_all_are_searched_and_iam_once(
        self, aws: LocalAws, verb: Verb, left: dict[str, str]
    ) -> None:
        trust = '{"Version": "2012-10-17", "Statement": []}'
        iam = aws.client("iam")
        iam.create_role(
            RoleName="left",
            AssumeRolePolicyDocument=trust,
            Tags=[{"Key": "gpustation", "Value": "x"}],
        )
        ran = verb("leftovers", "--all-regions", "--json")
        iam.delete_role(RoleName="left")
        here, there = ran.document["regions"]
        assert (here["region"], there["region"]) == ("us-east-1", "eu-west-1")
        assert {row["id"] for row in here["left"]} == {*left.values(), "left"}
        assert there["left"] == []
        assert ran.status == FINDING

    def test_the_accounts_id_is_typed(
        self, aws: LocalAws, verb: Verb, left: dict[str, str], terminal: list[str]
    ) -> None:
        terminal += ["yes", "123", aws.account]
        for _ in range(2):
            ran = verb("leftovers", "--all-regions", "--delete", "--yes")
            assert ran.status == FINDING
            assert "not the account's id" in ran.err
        assert ids(verb) == {*left.values()}
        assert verb("leftovers", "--all-regions", "--delete").status == 0
        assert ids(verb) == {left["foreign"]}

    def test_a_region_that_fails_is_a_finding(self, aws: LocalAws, verb: Verb) -> None:
        aws.control.fault("DescribeStacks", "deny", times=1)
        ran = verb("leftovers", "--all-regions", "--json")
        assert not ran.document["complete"]
        assert ran.status == NO_ACCESS


def test_options_that_do_not_belong_together(verb: Verb) -> None:
    for words in (("--yes",), ("vol-1",), ("--all-regions", "--region", "eu-west-1")):
        assert verb("leftovers", *words).status == USAGE


def test_without_anything_left_delete_does_nothing(verb: Verb) -> None:
    ran = verb("leftovers", "--delete", "--yes", "--json")
    assert (ran.status, ran.document["deletion"]) == (0, [])


LIMITED = "GpuWorkstation-limited"
OF_LIMIT = [{"Key": "gpustation", "Value": LIMITED}]


@pytest.fixture
def callers(aws: LocalAws) -> Iterator[dict[str, str]]:
    """What a deleted stack's daily stop and limit left, with a schedule that no stack made."""
    stack = Stack(aws, LIMITED)
    account = f"us-east-1:{aws.account}"
    key = {"AttributeName": "id"}
    role = aws.client("iam").create_role(RoleName="calling", AssumeRolePolicyDocument=CALLS)["Role"]
    schedule = {
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": f"arn:aws:lambda:{account}:function:one", "RoleArn": role["Arn"]},
    }
    resources = {
        "Group": kept("AWS::Scheduler::ScheduleGroup", Tags=OF_LIMIT),
        "Daily": kept("AWS::Scheduler::Schedule", GroupName={"Ref": "Group"}, **schedule),
        "Rule": kept("AWS::Events::Rule", EventPattern={"source": ["aws.ec2"]}, Tags=OF_LIMIT),
        "Topic": kept("AWS::SNS::Topic", Tags=OF_LIMIT),
        "Table": kept(
            "AWS::DynamoDB::Table",
            AttributeDefinitions=[{**key, "AttributeType": "S"}],
            KeySchema=[{**key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            Tags=OF_LIMIT,
        ),
    }
    assert stack.create(resources) == "CREATE_COMPLETE", stack.events()
    made = {name: stack.physical_id(name) for name in resources}
    scheduler = aws.client("scheduler")
    scheduler.create_schedule(Name="next", GroupName=made["Group"], **schedule)
    assert stack.delete() == "DELETE_COMPLETE"
    rows = {"Next": f"{made['Group']}/next", "Daily": f"{made['Group']}/{made.pop('Daily')}"}
    yield {**made, **rows}
    aws.control.reset()
    aws.client("iam").delete_role(RoleName="calling")


def test_what_calls_functions_is_deleted_by_its_tag(
    aws: LocalAws, verb: Verb, callers: dict[str, str]
) -> None:
    """A schedule by its group's tag, also the one that no stack made; a foreign one is kept."""
    scheduler = aws.client("scheduler")
    scheduler.create_schedule_group(Name="foreign")
    rows = {row["id"]: row for row in verb("leftovers", "--json").document["left"]}
    assert {*rows} == {*callers.values()}
    assert all(row["proof"].startswith("tag ") for row in rows.values()), rows
    ran = verb("leftovers", "--delete", "--yes", "--json", *callers.values())
    assert ran.status == 0, ran
    assert states(ran) == dict.fromkeys(callers.values(), "deleted")
    assert ids(verb) == set()
    groups = scheduler.list_schedule_groups()["ScheduleGroups"]
    assert {row["Name"] for row in groups} == {"default", "foreign"}
    scheduler.delete_schedule_group(Name="foreign")


def test_a_group_is_kept_while_its_schedule_cannot_be_deleted(
    aws: LocalAws, verb: Verb, callers: dict[str, str]
) -> None:
    aws.control.fault("scheduler:DeleteSchedule", "deny")
    ran = verb("leftovers", "--delete", "--yes", "--json", *callers.values())
    assert ran.status == FINDING
    found = states(ran)
    assert (found[callers["Next"]], found[callers["Daily"]]) == ("failed", "failed")
    assert found[callers["Group"]] == "skipped"
    assert {found[callers[name]] for name in ("Rule", "Topic", "Table")} == {"deleted"}
    aws.control.reset()
    assert verb("leftovers", "--delete", "--yes", "--json", callers["Group"]).status == 0
