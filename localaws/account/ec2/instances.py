"""EC2 instances as AWS runs them: quota, capacity, disks, states, and a machine behind each."""

from __future__ import annotations

import time
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from localaws.account.ec2 import catalog, visitors, volumes
from localaws.account.ec2.images import Image, public_images
from localaws.account.ec2.instance_record import (
    Record,
    new_record,
    profile,
    role_session,
    set_address,
)
from localaws.account.ec2.launch import Launch
from localaws.account.ec2.own_images import OwnImages
from localaws.account.ec2.reservations import Reservations
from localaws.account.ec2.room import RUNNING, Room
from localaws.account.ec2.spot_request import SpotRequest
from localaws.account.ec2.spot_requests import SpotRequests
from localaws.account.errors import ApiError
from localaws.account.events.state_changes import StateChanges
from localaws.account.world import World
from localaws.machines.booted.machines import BootedMachines
from localaws.machines.host import Fetch, Host
from localaws.machines.metadata import MachineFacts
from localaws.machines.records import RecordMachines

BY_USER, FROM_INSIDE = (
    ("Client.UserInitiatedShutdown", "User initiated shutdown"),
    ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
)
"""Why an instance was stopped or terminated: EC2's code and text."""


def not_for_spot(attribute: str) -> ApiError:
    """Refusal of an attribute that spot machines do not have, or cannot change.

    AWS's text for `disableApiTermination` (cloud-custodian#2083); that of the instance type, which
    its user guide says cannot be changed, is made after it.
    """
    return ApiError(
        "UnsupportedOperation", f"Modifying '{attribute}' is not supported for spot instances."
    )


class Instances:
    """Launches, stops, changes, starts and terminates instances.

    Args:
        world: The account's state.
        machines: The machines behind the instances.
    """

    def __init__(self, world: World, machines: RecordMachines | BootedMachines) -> None:
        self.world = world
        self.machines = self._machines = machines
        self.own = OwnImages(machines)
        self.reservations = Reservations(world)
        self.room = Room(world, self.reservations)
        self.spot = SpotRequests(self)
        self._changes = StateChanges(world.clock)
        if isinstance(machines, BootedMachines):
            machines.admits = lambda name: visitors.admits_ssh(self.get(name))
            machines.powered_off = self.follow_shutdown

    def launch(self, request: Launch, fulfils: SpotRequest | None = None) -> Record:
        """Launch an instance.

        Args:
            request: What to launch.
            fulfils: The spot request that it is for. Default: a spot machine has a new one.

        Raises:
            ApiError: AWS's refusal: image, subnet, group, quota, offering, capacity or disk.
        """
        self.own.require_available(request.image_id)
        image = self.image(request.image_id)
        subnet = ec2._subnets.get(request.subnet_id)
        if subnet is None:
            raise ApiError(
                "InvalidSubnetID.NotFound", f"The subnet ID '{request.subnet_id}' does not exist"
            )
        for group in request.groups:
            if group not in ec2._security_groups:
                text = f"The security group '{group}' does not exist"
                raise ApiError("InvalidGroup.NotFound", text)
        if request.spot:
            self.spot.check(request, subnet["AvailabilityZone"])
        with self.reservations.lock:
            slot = self.room.require_launch(
                request.instance_type,
                subnet["AvailabilityZone"],
                spot=request.spot is not None,
                platform=image.platform,
                preference=request.preference,
                fulfils=fulfils.id if fulfils else "",
            )
            disks = volumes.requested(image, request.disks)
            record = new_record(request, subnet, image)
            self.reservations.enter(slot, record)
            if request.spot:
                self.spot.fulfil(record, request, fulfils)
        volumes.attach(record, image, disks, request.volume_tags)
        if request.tags:
            ec2._tags[record["InstanceId"]] = [dict(tag) for tag in request.tags]
        set_address(record, self._machines)
        self._run(record, "launched")
        return record

    def stop(self, record: Record, reason: tuple[str, str] = BY_USER) -> None:
        """Stop an instance: it keeps its disk and loses its public address."""
        if record["State"]["Name"] not in RUNNING:
            return
        self.spot.require_stop(record, reason)
        self._note_reason(record, reason)
        self._changes.send(record["InstanceId"], "stopping")
        self._machines.halt(record["InstanceId"])
        record["State"] = {"Code": 80, "Name": "stopped"}
        self.reservations.leave(record)
        record["PublicIpAddress"] = record["PublicDnsName"] = ""
        self.spot.note_stop(record, reason)
        self._event(record, "stopped")
        self._changes.send(record["InstanceId"], "stopped")

    def follow_shutdown(self, instance_id: str) -> None:
        """Stop or terminate an instance whose machine has powered itself off."""
        record = self.get(instance_id)
        if record["_at_shutdown"] == "terminate" or self.spot.ends_with_shutdown(record):
            self.terminate(record, FROM_INSIDE)
        else:
            self.stop(record, FROM_INSIDE)

    def start(self, record: Record, by_ec2: bool = False) -> None:
        """Start an instance, with a new public address.

        Args:
            record: The instance.
            by_ec2: Whether EC2 starts a spot machine that it has stopped. Default: a person does.

        Raises:
            ApiError: Its state, quota, capacity or the state of its spot request do not allow it.
        """
        if record["State"]["Name"] in RUNNING:
            return
        if record["State"]["Name"] != "stopped":
            raise ApiError(
                "IncorrectInstanceState",
                f"The instance '{record['InstanceId']}' is not in a state from which it can be "
                "started.",
            )
        if not by_ec2:
            self.spot.require_start(record)
        with self.reservations.lock:
            slot = self.room.require_launch(
                record["InstanceType"],
                record["Placement"]["AvailabilityZone"],
                spot=bool(record["_lifecycle"]),
                platform=record["_platform"],
                preference=record["_preference"],
                fulfils=record.get("_spot_request", ""),
            )
            record["State"] = {"Code": 16, "Name": "running"}
            self.reservations.enter(slot, record)
        self.spot.note_start(record)
        set_address(record, self._machines)
        self._run(record, "started")

    def reboot(self, record: Record) -> None:
        """Restart an instance; state, addresses and disk are kept."""
        if record["State"]["Name"] in RUNNING:
            self._machines.reboot(record["InstanceId"])

    def terminate(self, record: Record, reason: tuple[str, str] = BY_USER) -> None:
        """Terminate an instance and delete the volumes with DeleteOnTermination."""
        if record["State"]["Name"] == "terminated":
            return
        if record["_protected"]:
            raise ApiError(
                "OperationNotPermitted",
                f"The instance '{record['InstanceId']}' may not be terminated. Modify its "
                "'disableApiTermination' instance attribute and try again.",
            )
        self._note_reason(record, reason)
        self._changes.send(record["InstanceId"], "shutting-down")
        ec2._terminate_instances({"InstanceId.1": [record["InstanceId"]]})
        record["PublicIpAddress"] = record["PublicDnsName"] = ""
        self.reservations.leave(record)
        self._machines.remove(record["InstanceId"])
        volumes.release(record)
        self._event(record, "terminated")
        self._changes.send(record["InstanceId"], "terminated")
        self.spot.note_end(record, reason)

    def get(self, instance_id: str) -> Record:
        """The record of an instance."""
        record: Record | None = ec2._instances.get(instance_id)
        if record is None:
            raise ApiError(
                "InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist"
            )
        return record

    def names(self) -> list[str]:
        """Ids of all instances."""
        return [*ec2._instances]

    def push_key(self, record: Record, user: str, key: str) -> None:
        """Offer a public key to a machine's SSH server for a minute."""
        self._machines.push_key(record["InstanceId"], user, key)

    def open_port(self, instance_id: str, port: int) -> int:
        """A port of this computer that leads to one of a machine that boots."""
        machines: Any = self._machines
        return int(machines.forward(instance_id, port))

    def console_output(self, record: Record) -> str:
        """What the serial console shows; EC2 keeps the last 64 KiB."""
        return self._machines.serial_console(record["InstanceId"])[-65536:]

    def image(self, image_id: str) -> Image:
        """An image by its id."""
        for image in self.images():
            if image.image_id == image_id:
                return image
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")

    def images(self) -> list[Image]:
        """Every image of the region."""
        others = [*public_images(get_region()).values(), *self.world.images.values()]
        return [*others, *self.own.all()]

    def host(self, record: Record, fetch: Fetch) -> Host:
        """The instance's machine as Image Builder's components see it."""
        machines: Any = self._machines
        host: Host = machines.host(record["InstanceId"], fetch, self.world.machine_faults)
        return host

    def set_profile(self, record: Record, name: str) -> None:
        """Replace the instance profile of a running instance."""
        for association in list(ec2._iam_instance_profile_associations.values()):
            if association["InstanceId"] == record["InstanceId"]:
                ec2._mark_iam_instance_profile_association_disassociated(association)
        resolved = profile(name)
        if resolved is not None:
            ec2._upsert_iam_instance_profile_association(record["InstanceId"], resolved)

    def announce(self, record: Record, action: str, when: str) -> None:
        """Tell a machine and the event bus that EC2 is about to interrupt it."""
        self._machines.announce(record["InstanceId"], action, when)
        self._changes.warn(record["InstanceId"], action)

    def set_tokens(self, record: Record, tokens: str) -> None:
        """Set whether the metadata service requires a token, at once on a running machine."""
        record["_tokens"] = tokens
        self._machines.require_token(record["InstanceId"], tokens == "required")

    def _run(self, record: Record, event: str) -> None:
        """Boot the machine of a launched or started instance."""
        launched = time.gmtime(self.world.clock())
        record["LaunchTime"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", launched)
        record["_transition"], record["_reason"] = "", None
        self._event(record, event)
        self._changes.send(record["InstanceId"], "pending")
        self._boot(record)
        self._changes.send(record["InstanceId"], "running")

    def _note_reason(self, record: Record, reason: tuple[str, str]) -> None:
        """Note why an instance is stopped or terminated.

        The text of the transition after a shutdown from inside is not established; it is empty.
        """
        stamp = time.strftime("%Y-%m-%d %H:%M:%S GMT", time.gmtime(self.world.clock()))
        record["_transition"] = f"User initiated ({stamp})" if reason == BY_USER else ""
        record["_reason"] = reason

    def _boot(self, record: Record) -> None:
        facts = MachineFacts(
            instance_id=record["InstanceId"],
            instance_type=record["InstanceType"],
            image_id=record["ImageId"],
            account=get_account_id(),
            region=get_region(),
            zone=record["Placement"]["AvailabilityZone"],
            private_ip=record["PrivateIpAddress"],
            public_ip=record["PublicIpAddress"],
            user_data=record["UserData"],
            token_required=record["_tokens"] == "required",
            lifecycle=record["_lifecycle"] or "on-demand",
            gpus=catalog.gpus(record["InstanceType"]),
            instance_store=catalog.instance_store(record["InstanceType"]),
            **role_session(record),
        )
        self._machines.boot(facts, self.world.machine_faults, self.world.silent)

    def _event(self, record: Record, event: str) -> None:
        self.world.record(record["InstanceId"], event, record["InstanceType"])
