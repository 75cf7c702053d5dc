"""An EC2 that contradicts itself for a while: a boto3 client whose answers a small account gives.

The embedded AWS is consistent, and takes seconds; here each inconsistency is a number.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

IMAGE, ROOT_SNAPSHOT = "ami-0123456789abcdef0", "snap-0aaaaaaaaaaaaaaaa"
MACHINE = "i-0123456789abcdef0"


class Refusal(Exception):
    """An error of EC2's."""

    def __init__(self, code: str, message: str = "so it is", retries: int = 0) -> None:
        super().__init__(code)
        self.answer = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": 400, "RetryAttempts": retries},
        }


@dataclasses.dataclass
class FakeEc2:
    """One account with one machine.

    Attributes:
        unknown: How many calls do not know the image after it was made.
        unknown_is_empty: They answer an empty list instead of an error.
        pending: How many looks find it pending.
        snapshots_late: How many looks show a pending image without snapshots.
        in_use: How many DeleteSnapshot calls find a snapshot in use.
        result: Code of DeregisterImage for each snapshot.
        before: What happens just before a call is answered, by operation.
        after: What happens once a call has been carried out, by operation.
    """

    unknown: float = 0
    unknown_is_empty: bool = False
    pending: float = 1
    snapshots_late: float = 0
    in_use: float = 0
    result: str = "success"
    before: dict[str, Callable[[], None]] = dataclasses.field(default_factory=dict)
    after: dict[str, Callable[[], None]] = dataclasses.field(default_factory=dict)
    calls: list[str] = dataclasses.field(default_factory=list)
    images: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    snapshots: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    request: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client, _accounts[:] = _client(), [self]

    def answer(self, operation: str, asked: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
        """The answer to a call, in the form in which botocore takes one from a handler."""
        self.calls.append(operation)
        self.before.get(operation, lambda: None)()
        status = 200
        try:
            answer = getattr(self, f"_{operation}")(**asked)
        except Refusal as refusal:
            status, answer = 400, refusal.answer
        self.after.get(operation, lambda: None)()
        return AWSResponse("http://localhost", status, {}, None), answer

    def _CreateImage(self, **asked: Any) -> dict[str, Any]:
        if any(image["Name"] == asked["Name"] for image in self.images.values()):
            raise Refusal("InvalidAMIName.Duplicate", "AMI name is already in use")
        self.request = asked
        tags = asked["TagSpecifications"][0]["Tags"]
        self.images[IMAGE] = {"ImageId": IMAGE, "Name": asked["Name"], "Tags": tags}
        return {"ImageId": IMAGE}

    def _know(self, image_id: str) -> dict[str, Any] | None:
        if self.unknown > 0:
            self.unknown -= 1
            return None
        return self.images.get(image_id)

    def _DescribeImages(self, **asked: Any) -> dict[str, Any]:
        if "Filters" in asked:
            found = self._know(IMAGE)
            fits = found and all(_has(found, mark) for mark in asked["Filters"])
            return {"Images": [found] if fits else []}
        (image_id,) = asked["ImageIds"]
        image = self._know(image_id)
        if image is None:
            if self.unknown_is_empty:
                return {"Images": []}
            raise Refusal("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        if self.snapshots_late > 0:
            self.snapshots_late -= 1
        elif "BlockDeviceMappings" not in image:
            self.add_snapshot(ROOT_SNAPSHOT, image)
            disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": ROOT_SNAPSHOT}}
            image["BlockDeviceMappings"] = [disk]
        image["State"] = "pending" if self.pending > 0 else "available"
        self.pending -= 1
        return {"Images": [image]}

    def add_snapshot(self, snapshot: str, image: dict[str, Any]) -> None:
        """A snapshot that was made for an image."""
        text = f"Created by CreateImage({MACHINE}) for {image['ImageId']}"
        row = {"SnapshotId": snapshot, "Description": text, "Tags": image["Tags"]}
        self.snapshots[snapshot] = row | {"Progress": "10%"}

    def _DescribeSnapshots(self, **asked: Any) -> dict[str, Any]:
        if "SnapshotIds" in asked:
            return {"Snapshots": [self.snapshots[one] for one in asked["SnapshotIds"]]}
        key, text = (one["Values"][0] for one in asked["Filters"])
        assert [one["Name"] for one in asked["Filters"]] == ["tag-key", "description"]
        found = [
            row
            for row in self.snapshots.values()
            if text.strip("*") in row["Description"]
            and any(tag["Key"] == key for tag in row["Tags"])
        ]
        return {"Snapshots": found}

    def _DeregisterImage(self, **asked: Any) -> dict[str, Any]:
        assert asked["DeleteAssociatedSnapshots"] is True
        image = self._know(asked["ImageId"])
        if image is None:
            raise Refusal("InvalidAMIID.NotFound", "it does not exist")
        del self.images[asked["ImageId"]]
        named = [one["Ebs"]["SnapshotId"] for one in image.get("BlockDeviceMappings", [])]
        for one in named if self.result == "success" else []:
            del self.snapshots[one]
        rows = [{"SnapshotId": one, "ReturnCode": self.result} for one in named]
        return {"DeleteSnapshotResults": rows}

    def _DeleteSnapshot(self, **asked: Any) -> dict[str, Any]:
        if self.in_use > 0:
            self.in_use -= 1
            raise Refusal("InvalidSnapshot.InUse", f"in use by {IMAGE}")
        if self.snapshots.pop(asked["SnapshotId"], None) is None:
            raise Refusal("InvalidSnapshot.NotFound")
        return {}

    def _DescribeInstances(self, **_: Any) -> dict[str, Any]:
        volumes = {"/dev/sdg": "vol-2", "/dev/sda1": "vol-0", "/dev/sdf": "vol-1"}
        mappings = [{"DeviceName": d, "Ebs": {"VolumeId": v}} for d, v in volumes.items()]
        machine = {
            "InstanceId": MACHINE,
            "State": {"Name": "running"},
            "RootDeviceName": "/dev/sda1",
            "BlockDeviceMappings": mappings,
        }
        return {"Reservations": [{"Instances": [machine]}]}

    def _DescribeVolumes(self, **asked: Any) -> dict[str, Any]:
        kinds = {"vol-1": (500, "gp3"), "vol-2": (100, "st1")}
        return {
            "Volumes": [
                {"VolumeId": one, "Size": kinds[one][0], "VolumeType": kinds[one][1]}
                for one in asked["VolumeIds"]
            ]
        }


def _has(image: dict[str, Any], mark: dict[str, Any]) -> bool:
    """Whether a filter for a tag, or for its key, fits an image."""
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    (wanted,) = mark["Values"]
    if mark["Name"] == "tag-key":
        return wanted in tags
    return bool(tags.get(mark["Name"].removeprefix("tag:")) == wanted)


_accounts: list[FakeEc2] = []
"""The newest, which the client talks to."""


@functools.cache
def _client() -> Any:
    """One for all, as each takes a while to make."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client("ec2", region_name="us-east-1", **keys)  # type: ignore[call-overload]
    asked: dict[str, Any] = {}

    def take(params: dict[str, Any], **_: Any) -> None:
        asked.clear()
        asked.update(params)

    def answer(model: Any, **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        return _accounts[0].answer(model.name, dict(asked))

    client.meta.events.register("provide-client-params.ec2", take)
    client.meta.events.register("before-call.ec2", answer)
    return client
