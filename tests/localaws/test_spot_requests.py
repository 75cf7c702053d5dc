"""Spot Instance requests by EC2's API: their states, what ends them, and what they launch again.

States and status codes are those of EC2's user guide ("Spot request status"). What AWS does not
document is said in the test.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.ec2_probe import KIND, ZONE, client, code, launch, machines
from tests.support.probe_stack import G_QUOTA

G_SPOT = "L-3819A6DF"
ONCE = {"MarketType": "spot"}
STOPS = {
    "MarketType": "spot",
    "SpotOptions": {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"},
}
TAGS = [{"ResourceType": "spot-instances-request", "Tags": [{"Key": "owner", "Value": "me"}]}]
NOTICE = "/latest/meta-data/spot/instance-action"


@pytest.fixture
def cloud(moved: LocalAws) -> LocalAws:
    """The account whose clock moves, with room for spot machines."""
    moved.control.reset()
    moved.control.set_quota(G_QUOTA, 64)
    moved.control.set_quota(G_SPOT, 64)
    return moved


@pytest.fixture
def ec2(cloud: LocalAws) -> Iterator[Any]:
    left = client(cloud)
    yield left
    cloud.control.reset()
    living = [row["SpotInstanceRequestId"] for row in requests(left, *LIVING)]
    if living:
        left.cancel_spot_instance_requests(SpotInstanceRequestIds=living)
    made = [one["InstanceId"] for one in machines(left)]
    if made:
        left.terminate_instances(InstanceIds=made)


LIVING = ("open", "active", "disabled")


def requests(ec2: Any, *states: str) -> list[dict[str, Any]]:
    filters = [{"Name": "state", "Values": [*states]}] if states else []
    rows: list[dict[str, Any]] = ec2.describe_spot_instance_requests(Filters=filters)[
        "SpotInstanceRequests"
    ]
    return rows


def spot(ec2: Any, market: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return launch(ec2, InstanceMarketOptions=market or STOPS, **more)


def request_of(ec2: Any, box: dict[str, Any]) -> dict[str, Any]:
    (row,) = ec2.describe_spot_instance_requests(
        SpotInstanceRequestIds=[box["SpotInstanceRequestId"]]
    )["SpotInstanceRequests"]
    return dict(row)


def state(ec2: Any, box: dict[str, Any]) -> tuple[str, str]:
    row = request_of(ec2, box)
    return row["State"], row["Status"]["Code"]


def machine(ec2: Any, box: dict[str, Any]) -> dict[str, Any]:
    rows = ec2.describe_instances(InstanceIds=[box["InstanceId"]])["Reservations"]
    return dict(rows[0]["Instances"][0])


def runs(ec2: Any, box: dict[str, Any]) -> str:
    return str(machine(ec2, box)["State"]["Name"])


def stop(ec2: Any, box: dict[str, Any]) -> None:
    ec2.stop_instances(InstanceIds=[box["InstanceId"]])


def start(ec2: Any, box: dict[str, Any]) -> None:
    ec2.start_instances(InstanceIds=[box["InstanceId"]])


def terminate(ec2: Any, box: dict[str, Any]) -> None:
    ec2.terminate_instances(InstanceIds=[box["InstanceId"]])


def cancel(ec2: Any, box: dict[str, Any]) -> str:
    names = [box["SpotInstanceRequestId"]]
    (row,) = ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=names)[
        "CancelledSpotInstanceRequests"
    ]
    return str(row["State"])


def metadata(cloud: LocalAws, box: dict[str, Any], path: str) -> str | None:
    """A document of the machine's metadata service; None: status 404."""
    url = cloud.control.metadata_url(box["InstanceId"])
    try:
        with urllib.request.urlopen(url + path, timeout=10) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        assert error.code == 404
        return None


class TestLaunch:
    def test_it_makes_a_request_with_the_requests_tags(self, ec2: Any) -> None:
        box = spot(ec2, TagSpecifications=TAGS)
        assert box["InstanceLifecycle"] == "spot"
        assert box["SpotInstanceRequestId"].startswith("sir-")
        row = request_of(ec2, box)
        assert (row["State"], row["Status"]["Code"]) == ("active", "fulfilled")
        assert (row["InstanceId"], row["Type"]) == (box["InstanceId"], "persistent")
        assert row["InstanceInterruptionBehavior"] == "stop"
        assert (row["LaunchedAvailabilityZone"], row["Tags"]) == (ZONE, TAGS[0]["Tags"])
        assert "Tags" not in machine(ec2, box) or machine(ec2, box)["Tags"] == []
        assert row["LaunchSpecification"]["InstanceType"] == KIND

    def test_a_machine_on_demand_makes_none(self, ec2: Any) -> None:
        box = launch(ec2)
        assert "InstanceLifecycle" not in box and "SpotInstanceRequestId" not in box

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("state", "active"),
            ("status-code", "fulfilled"),
            ("type", "one-time"),
            ("tag:owner", "me"),
            ("launch.instance-type", "g4dn.*"),
            ("launched-availability-zone", ZONE),
        ],
    )
    def test_filters(self, ec2: Any, name: str, value: str) -> None:
        box = spot(ec2, ONCE, TagSpecifications=TAGS)
        for wanted, count in ((value, 1), ("other", 0)):
            rows = ec2.describe_spot_instance_requests(
                Filters=[
                    {"Name": name, "Values": [wanted]},
                    {"Name": "instance-id", "Values": [box["InstanceId"]]},
                ]
            )["SpotInstanceRequests"]
            assert len(rows) == count

    @pytest.mark.parametrize(
        ("options", "refusal", "text"),
        [
            (
                {"SpotInstanceType": "persistent"},
                "InvalidParameterCombination",
                "terminate InstanceInterruptionBehavior is not supported",
            ),
            (
                {"InstanceInterruptionBehavior": "stop"},
                "InvalidParameterCombination",
                "'one-time' is not supported when instanceInterruptionBehavior",
            ),
            ({"ValidUntil": "2099-01-01T00:00:00Z"}, "InvalidParameterCombination", "one-time"),
            ({"MaxPrice": "0.0001"}, "InvalidParameterValue", "0.001"),
            ({"MaxPrice": "0.01"}, "SpotMaxPriceTooLow", "request price of 0.01 is lower"),
            ({"BlockDurationMinutes": 60}, "UnsupportedOperation", "BlockDurationMinutes"),
        ],
        ids=str,
    )
    def test_fails_when_options_do_not_go_together(
        self, ec2: Any, options: dict[str, Any], refusal: str, text: str
    ) -> None:
        before = len(requests(ec2))
        with pytest.raises(ClientError, match=text) as refused:
            spot(ec2, {"MarketType": "spot", "SpotOptions": options})
        assert code(refused) == refusal
        assert len(requests(ec2)) == before

    def test_fails_when_it_is_to_be_protected(self, ec2: Any) -> None:
        """cloud-custodian#2083, of a change; that a launch is refused alike is not documented."""
        with pytest.raises(ClientError, match="'disableApiTermination' is not supported for spot"):
            spot(ec2, DisableApiTermination=True)
        box = spot(ec2)
        with pytest.raises(ClientError, match="'disableApiTermination' is not supported for spot"):
            ec2.modify_instance_attribute(
                InstanceId=box["InstanceId"], DisableApiTermination={"Value": True}
            )


class TestRoom:
    def test_capacity_is_that_of_spot(self, ec2: Any, cloud: LocalAws) -> None:
        cloud.control.set_capacity(KIND, False, zone=ZONE, use="spot")
        launch(ec2)
        spot(ec2, zone="us-east-1c")
        with pytest.raises(ClientError, match="There is no Spot capacity available") as refused:
            spot(ec2)
        assert code(refused) == "InsufficientInstanceCapacity"
        cloud.control.set_capacity(KIND, True)
        cloud.control.set_capacity(KIND, False, use="launch")
        spot(ec2)

    def test_the_quota_is_that_of_spot(self, ec2: Any, cloud: LocalAws) -> None:
        cloud.control.set_quota(G_SPOT, 4)
        cloud.control.set_offerings("p4d.24xlarge", [ZONE])
        launch(ec2)
        box = spot(ec2)
        with pytest.raises(ClientError) as refused:
            spot(ec2)
        assert code(refused) == "MaxSpotInstanceCountExceeded"
        with pytest.raises(ClientError) as refused:
            spot(ec2, kind="p4d.24xlarge")
        assert code(refused) == "MaxSpotInstanceCountExceeded", "another bucket, of 0"
        stop(ec2, box)
        spot(ec2)

    def test_an_open_request_counts(self, ec2: Any, cloud: LocalAws) -> None:
        """EC2 user guide: vCPUs of running machines and of open requests."""
        cloud.control.set_quota(G_SPOT, 4)
        box = spot(ec2)
        cloud.control.set_capacity(KIND, False, use="spot")
        terminate(ec2, box)
        assert state(ec2, box) == ("open", "capacity-not-available")
        with pytest.raises(ClientError) as refused:
            spot(ec2)
        assert code(refused) == "MaxSpotInstanceCountExceeded"
        cloud.control.set_capacity(KIND, True)
        assert state(ec2, box) == ("active", "fulfilled"), "its own vCPUs are not in its way"


class TestStop:
    def test_the_request_follows_later(self, ec2: Any, cloud: LocalAws) -> None:
        """terraform-provider-aws#33399; how much later is not documented."""
        cloud.control.spot_delays(stop=30)
        box = spot(ec2)
        stop(ec2, box)
        assert runs(ec2, box) == "stopped"
        assert state(ec2, box) == ("active", "marked-for-stop")
        with pytest.raises(ClientError) as refused:
            start(ec2, box)
        assert code(refused) == "IncorrectSpotRequestState"
        cloud.control.advance(31)
        assert state(ec2, box) == ("disabled", "instance-stopped-by-user")
        start(ec2, box)
        assert (runs(ec2, box), state(ec2, box)) == ("running", ("active", "fulfilled"))

    def test_without_capacity_it_does_not_start(self, ec2: Any, cloud: LocalAws) -> None:
        """That the call itself is refused, and the request stays disabled, is not documented."""
        cloud.control.spot_delays(stop=0)
        box = spot(ec2)
        stop(ec2, box)
        cloud.control.set_capacity(KIND, False, use="spot")
        with pytest.raises(ClientError) as refused:
            start(ec2, box)
        assert code(refused) == "InsufficientInstanceCapacity"
        assert state(ec2, box) == ("disabled", "instance-stopped-by-user")

    def test_a_one_time_request_cannot_be_stopped(self, ec2: Any) -> None:
        """terraform-aws-gitlab-runner#1049."""
        box = spot(ec2, ONCE)
        with pytest.raises(ClientError, match="one-time Spot Instance request") as refused:
            stop(ec2, box)
        assert code(refused) == "UnsupportedOperation"
        assert runs(ec2, box) == "running"

    def test_its_type_cannot_be_changed_but_its_user_data(self, ec2: Any, cloud: LocalAws) -> None:
        """EC2 user guide: "not the instance type"; the code is not documented."""
        cloud.control.spot_delays(stop=0)
        box = spot(ec2)
        stop(ec2, box)
        with pytest.raises(ClientError, match="'instanceType' is not supported for spot"):
            ec2.modify_instance_attribute(
                InstanceId=box["InstanceId"], InstanceType={"Value": "g4dn.2xlarge"}
            )
        ec2.modify_instance_attribute(InstanceId=box["InstanceId"], UserData={"Value": b"#!"})


class TestEnd:
    def test_a_persistent_request_launches_another_machine(self, ec2: Any) -> None:
        """The trap: whoever terminates without cancelling has a machine without tags.

        VeriorPies/MineCloud#69, terraform-provider-aws#38142. That the new machine has none of
        the first one's tags follows from the guide: a request does not tag its instances.
        """
        names = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "mine"}]}]
        box = spot(ec2, TagSpecifications=names)
        terminate(ec2, box)
        row = request_of(ec2, box)
        assert (row["State"], row["Status"]["Code"]) == ("active", "fulfilled")
        assert row["InstanceId"] != box["InstanceId"]
        zombie = machine(ec2, {**box, "InstanceId": row["InstanceId"]})
        assert zombie["State"]["Name"] == "running" and zombie["InstanceType"] == KIND
        assert zombie.get("Tags", []) == []

    def test_also_when_the_machine_was_stopped(self, ec2: Any, cloud: LocalAws) -> None:
        """EC2 user guide: irrespective of whether it is stopped or running."""
        cloud.control.spot_delays(stop=0)
        box = spot(ec2)
        stop(ec2, box)
        terminate(ec2, box)
        assert request_of(ec2, box)["InstanceId"] != box["InstanceId"]

    def test_the_other_machine_comes_later_and_not_after_a_cancellation(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        cloud.control.spot_delays(service=60)
        box = spot(ec2)
        terminate(ec2, box)
        assert state(ec2, box) == ("open", "pending-evaluation")
        assert cancel(ec2, box) == "cancelled"
        assert state(ec2, box) == ("cancelled", "canceled-before-fulfillment")
        cloud.control.advance(120)
        assert machines(ec2) == []

    def test_a_request_whose_subnet_is_gone_has_failed(self, ec2: Any, cloud: LocalAws) -> None:
        cloud.control.spot_delays(service=60)
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        own = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24", AvailabilityZone=ZONE)
        name = own["Subnet"]["SubnetId"]
        box = ec2.run_instances(
            ImageId=ec2.describe_images()["Images"][0]["ImageId"],
            InstanceType=KIND,
            MinCount=1,
            MaxCount=1,
            SubnetId=name,
            InstanceMarketOptions=STOPS,
        )["Instances"][0]
        with pytest.raises(ClientError, match="has dependencies and cannot be deleted"):
            ec2.delete_subnet(SubnetId=name)
        terminate(ec2, box)
        ec2.delete_subnet(SubnetId=name)
        ec2.delete_vpc(VpcId=vpc)
        cloud.control.advance(61)
        assert state(ec2, box) == ("failed", "bad-parameters")

    def test_a_one_time_request_is_closed(self, ec2: Any) -> None:
        box = spot(ec2, ONCE)
        terminate(ec2, box)
        assert state(ec2, box) == ("closed", "instance-terminated-by-user")
        assert machines(ec2) == []

    def test_cancelled_while_the_machine_runs_it_runs_on(self, ec2: Any) -> None:
        box = spot(ec2)
        assert cancel(ec2, box) == "cancelled"
        assert state(ec2, box) == ("cancelled", "request-canceled-and-instance-running")
        assert runs(ec2, box) == "running"
        with pytest.raises(ClientError, match="not in an appropriate state to support stop"):
            stop(ec2, box)
        terminate(ec2, box)
        assert state(ec2, box) == ("cancelled", "instance-terminated-by-user")
        assert machines(ec2) == []

    def test_cancelled_while_the_machine_is_stopped_it_is_terminated(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        cloud.control.spot_delays(stop=0, service=5)
        box = spot(ec2)
        stop(ec2, box)
        cancel(ec2, box)
        assert runs(ec2, box) == "stopped", "there might be a short lag (EC2 user guide)"
        cloud.control.advance(6)
        assert runs(ec2, box) == "terminated"
        assert state(ec2, box) == ("cancelled", "instance-terminated-by-service")

    def test_cancelled_twice_and_unknown(self, ec2: Any) -> None:
        """A second cancellation changes nothing: not documented."""
        box = spot(ec2, ONCE)
        assert [cancel(ec2, box), cancel(ec2, box)] == ["cancelled", "cancelled"]
        with pytest.raises(ClientError) as refused:
            cancel(ec2, {"SpotInstanceRequestId": "sir-00000000"})
        assert code(refused) == "InvalidSpotInstanceRequestID.NotFound"

    def test_it_is_listed_for_four_hours_after_its_end(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2, ONCE)
        terminate(ec2, box)
        cloud.control.advance(4 * 3600 - 60)
        assert state(ec2, box)[0] == "closed"
        cloud.control.advance(120)
        names = [box["SpotInstanceRequestId"]]
        rows = ec2.describe_spot_instance_requests(SpotInstanceRequestIds=names)
        assert rows["SpotInstanceRequests"] == []


class TestExpiry:
    def until(self, cloud: LocalAws, seconds: float) -> dict[str, Any]:
        end = datetime.fromtimestamp(cloud.control.clock() + seconds, timezone.utc)
        return {"MarketType": "spot", "SpotOptions": {**STOPS["SpotOptions"], "ValidUntil": end}}  # type: ignore[dict-item]

    def test_a_running_machine_runs_on_and_no_other_follows(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        """That it runs on is not documented; trailofbits/algo#14581 lost a machine."""
        box = spot(ec2, self.until(cloud, 3600))
        cloud.control.advance(3601)
        assert (runs(ec2, box), state(ec2, box)[0]) == ("running", "cancelled")
        terminate(ec2, box)
        assert machines(ec2) == []

    def test_a_stopped_machine_stays_stopped_for_good(self, ec2: Any, cloud: LocalAws) -> None:
        """EC2 user guide, "Spot request status", note 2."""
        cloud.control.spot_delays(stop=0)
        box = spot(ec2, self.until(cloud, 3600))
        stop(ec2, box)
        cloud.control.advance(3601)
        assert state(ec2, box) == ("cancelled", "instance-stopped-by-user")
        assert runs(ec2, box) == "stopped"
        with pytest.raises(ClientError) as refused:
            start(ec2, box)
        assert code(refused) == "IncorrectSpotRequestState"

    def test_an_open_request_expires_unfulfilled(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2, self.until(cloud, 3600))
        cloud.control.set_capacity(KIND, False, use="spot")
        terminate(ec2, box)
        cloud.control.advance(3601)
        assert state(ec2, box) == ("cancelled", "schedule-expired")
        cloud.control.set_capacity(KIND, True)
        assert machines(ec2) == []

    def test_it_ends_after_a_cancellation_for_nothing(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2, self.until(cloud, 3600))
        cancel(ec2, box)
        cloud.control.advance(3601)
        assert state(ec2, box) == ("cancelled", "request-canceled-and-instance-running")


class TestInterruption:
    def test_it_is_announced_then_stopped_then_started_by_ec2_alone(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        box = spot(ec2)
        assert metadata(cloud, box, NOTICE) is None
        assert metadata(cloud, box, "/latest/meta-data/instance-life-cycle") == "spot"
        cloud.control.interrupt(box["InstanceId"])
        notice = json.loads(metadata(cloud, box, NOTICE) or "")
        assert notice["action"] == "stop"
        due = datetime.strptime(notice["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        assert 100 < due.timestamp() - cloud.control.clock() <= 120
        assert metadata(cloud, box, "/latest/meta-data/spot/termination-time") is None
        assert (runs(ec2, box), state(ec2, box)) == ("running", ("active", "marked-for-stop"))
        cloud.control.advance(100)
        assert runs(ec2, box) == "running"
        cloud.control.advance(21)
        assert runs(ec2, box) == "stopped"
        assert state(ec2, box) == ("disabled", "instance-stopped-no-capacity")
        assert machine(ec2, box)["StateReason"]["Code"] == "Server.SpotInstanceShutdown"
        with pytest.raises(ClientError) as refused:
            start(ec2, box)
        assert code(refused) == "IncorrectSpotRequestState"
        cloud.control.resume_spot(box["InstanceId"])
        assert (runs(ec2, box), state(ec2, box)) == ("running", ("active", "fulfilled"))
        assert metadata(cloud, box, NOTICE) is None
        events = [event.event for event in cloud.control.history(box["InstanceId"])]
        assert events == ["launched", "stopped", "started"]

    def test_a_one_time_machine_is_terminated(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2, ONCE)
        cloud.control.interrupt(box["InstanceId"])
        assert json.loads(metadata(cloud, box, NOTICE) or "")["action"] == "terminate"
        assert metadata(cloud, box, "/latest/meta-data/spot/termination-time")
        assert state(ec2, box) == ("closed", "instance-terminated-no-capacity")
        cloud.control.advance(121)
        assert runs(ec2, box) == "terminated"
        assert machine(ec2, box)["StateReason"]["Code"] == "Server.SpotInstanceTermination"

    def test_a_person_who_stops_it_first_may_start_it(self, ec2: Any, cloud: LocalAws) -> None:
        """Not documented which stop counts; here the one that happened.

        Whoever shuts a machine down during the notice must start it, for EC2 does not.
        """
        cloud.control.spot_delays(stop=0)
        box = spot(ec2)
        cloud.control.interrupt(box["InstanceId"])
        stop(ec2, box)
        assert state(ec2, box) == ("disabled", "instance-stopped-by-user")
        with pytest.raises(ValueError, match="EC2 starts only what it stopped"):
            cloud.control.resume_spot(box["InstanceId"])
        start(ec2, box)
        cloud.control.advance(200)
        assert runs(ec2, box) == "running", "the notice is for nothing"

    def test_ec2_does_not_start_it_without_capacity(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2)
        cloud.control.interrupt(box["InstanceId"], 0)
        assert runs(ec2, box) == "stopped"
        cloud.control.set_capacity(KIND, False, use="spot")
        with pytest.raises(ValueError, match="InsufficientInstanceCapacity"):
            cloud.control.resume_spot(box["InstanceId"])
        assert state(ec2, box) == ("disabled", "instance-stopped-no-capacity")

    def test_interrupted_and_cancelled_it_is_terminated(self, ec2: Any, cloud: LocalAws) -> None:
        box = spot(ec2)
        cloud.control.interrupt(box["InstanceId"], 0)
        cancel(ec2, box)
        assert runs(ec2, box) == "terminated"

    def test_its_request_cancelled_during_the_notice_it_is_terminated(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        """Not documented: it cannot be stopped without a request."""
        box = spot(ec2)
        cloud.control.interrupt(box["InstanceId"])
        cancel(ec2, box)
        cloud.control.advance(121)
        assert (runs(ec2, box), machines(ec2)) == ("terminated", [])

    def test_fails_for_a_machine_on_demand_or_a_stopped_one(
        self, ec2: Any, cloud: LocalAws
    ) -> None:
        with pytest.raises(ValueError, match="is no spot machine"):
            cloud.control.interrupt(launch(ec2)["InstanceId"])
        box = spot(ec2)
        stop(ec2, box)
        with pytest.raises(ValueError, match="does not run"):
            cloud.control.interrupt(box["InstanceId"])

    def test_a_machine_on_demand_says_so(self, ec2: Any, cloud: LocalAws) -> None:
        box = launch(ec2)
        assert metadata(cloud, box, "/latest/meta-data/instance-life-cycle") == "on-demand"


class TestPlacementScores:
    def scores(self, ec2: Any, **more: Any) -> dict[str, int]:
        asked = {"InstanceTypes": [KIND], "TargetCapacity": 1, "SingleAvailabilityZone": True}
        rows = ec2.get_spot_placement_scores(**{**asked, **more})["SpotPlacementScores"]
        assert [row["Score"] for row in rows] == sorted((r["Score"] for r in rows), reverse=True)
        return {row.get("AvailabilityZoneId", row["Region"]): row["Score"] for row in rows}

    def test_they_are_low_for_one_type_and_settable(self, ec2: Any, cloud: LocalAws) -> None:
        scores = self.scores(ec2)
        assert max(scores.values()) <= 3 and len(scores) == 5, "the zones that offer the type"
        cloud.control.set_placement_score("us-east-1c", 9)
        assert next(iter(self.scores(ec2).items())) == ("use1-az3", 9)
        assert self.scores(ec2, SingleAvailabilityZone=False) == {"us-east-1": 9}
        assert {*self.scores(ec2, SingleAvailabilityZone=False, RegionNames=["eu-west-1"])} == {
            "eu-west-1"
        }

    def test_it_may_be_denied(self, ec2: Any, cloud: LocalAws) -> None:
        cloud.control.fault("GetSpotPlacementScores", "forbid")
        with pytest.raises(ClientError, match="service control policy"):
            self.scores(ec2)


def test_the_inventory_has_living_requests(ec2: Any, cloud: LocalAws) -> None:
    box = spot(ec2)
    name = box["SpotInstanceRequestId"]
    (row,) = [row for row in cloud.inventory() if row.id == name]
    assert (row.kind, row.detail) == ("spot request", f"{KIND} active")
    cancel(ec2, box)
    assert name not in {row.id for row in cloud.inventory()}
