"""EC2 instances as AWS runs them: quota, capacity, disks, states, and a machine behind each."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from localaws.account.ec2 import catalog, volumes
from localaws.account.ec2.images import Image, public_images
from localaws.account.ec2.instance_record import (
    Launch,
    Record,
    new_record,
    profile,
    role_session,
    set_address,
)
from localaws.account.ec2.own_images import OwnImages
from localaws.account.ec2.reservation import LINUX
from localaws.account.ec2.reservations import Reservations
from localaws.account.ec2.room import RUNNING, Room
from localaws.account.errors import ApiError
from localaws.account.events.state_changes import StateChanges
from localaws.account.world import World
from localaws.machines.booted.machines import BootedMachines
from localaws.machines.host import Fetch, Host
from localaws.machines.metadata import MachineFacts
from localaws.machines.records import RecordMachines

VISITOR = "203.0.113.7"
"""Address by which security groups know this computer, the only one that reaches machines."""
BY_USER, FROM_INSIDE = (
    ("Client.UserInitiatedShutdown", "User initiated shutdown"),
    ("Client.InstanceInitiatedShutdown", "Instance initiated shutdown"),
)
"""Why an instance was stopped or terminated: EC2's code and text."""


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
        self._crowds: dict[str, list[str]] = {}
        self._changes = StateChanges(world.clock)
        if isinstance(machines, BootedMachines):
            machines.admits = self.admits_ssh
            machines.powered_off = self.follow_shutdown

    def launch(self, request: Launch) -> Record:
        """Launch an instance.

        Raises:
            ApiError: AWS's refusal: image, subnet, quota, offering, capacity or disk.
        """
        self.own.require_available(request.image_id)
        image = self.image(request.image_id)
        subnet = ec2._subnets.get(request.subnet_id)
        if subnet is None:
            raise ApiError(
                "InvalidSubnetID.NotFound", f"The subnet ID '{request.subnet_id}' does not exist"
            )
        with self.reservations.lock:
            slot = self.room.require_launch(
                request.instance_type,
                subnet["AvailabilityZone"],
                spot=request.spot,
                platform=image.platform,
                preference=request.preference,
            )
            disks = volumes.requested(image, request.disks)
            record = new_record(request, subnet, image)
            self.reservations.enter(slot, record)
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
        self._note_reason(record, reason)
        self._changes.send(record["InstanceId"], "stopping")
        self._machines.halt(record["InstanceId"])
        record["State"] = {"Code": 80, "Name": "stopped"}
        self.reservations.leave(record)
        record["PublicIpAddress"] = record["PublicDnsName"] = ""
        self._event(record, "stopped")
        self._changes.send(record["InstanceId"], "stopped")

    def follow_shutdown(self, instance_id: str) -> None:
        """Stop or terminate an instance whose machine has powered itself off."""
        record = self.get(instance_id)
        if record["_at_shutdown"] == "terminate":
            self.terminate(record, FROM_INSIDE)
        else:
            self.stop(record, FROM_INSIDE)

    def start(self, record: Record) -> None:
        """Start an instance, with a new public address.

        Raises:
            ApiError: Quota or capacity do not allow it.
        """
        if record["State"]["Name"] in RUNNING:
            return
        with self.reservations.lock:
            slot = self.room.require_launch(
                record["InstanceType"],
                record["Placement"]["AvailabilityZone"],
                spot=bool(record["_lifecycle"]),
                platform=record["_platform"],
                preference=record["_preference"],
            )
            record["State"] = {"Code": 16, "Name": "running"}
            self.reservations.enter(slot, record)
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

    def crowd(self, instance_type: str, count: int) -> None:
        """Run so many instances of a type without machines, listed before all others."""
        for name in self._crowds.pop(instance_type, []):
            ec2._instances.pop(name, None)
        others = [*ec2._instances.items()]
        made = ec2._launch_instances_internal(
            "ami-00000000", instance_type, ec2._DEFAULT_SUBNET_ID, count
        )
        self._crowds[instance_type] = [record["InstanceId"] for record in made]
        for record in made:
            record |= {"_lifecycle": "", "_protected": False, "_public": False}
            record |= {"_tokens": "optional", "_at_shutdown": "stop"}
            record |= {"_platform": LINUX, "_preference": "open"}
        for name, record in others:
            ec2._instances.pop(name)
            ec2._instances[name] = record

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

    def admits_ssh(self, instance_id: str) -> bool:
        """Whether the instance's security groups let the person in at port 22."""
        groups = [group["GroupId"] for group in self.get(instance_id)["SecurityGroups"]]
        rules = [rule for name in groups for rule in ec2._security_groups[name]["IpPermissions"]]
        return any(
            rule["IpProtocol"] in ("tcp", "-1")
            and rule.get("FromPort", 0) <= 22 <= rule.get("ToPort", 65535)
            and any(ip_address(VISITOR) in ip_network(one["CidrIp"]) for one in rule["IpRanges"])
            for rule in rules
        )

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
            gpus=catalog.gpus(record["InstanceType"]),
            instance_store=catalog.instance_store(record["InstanceType"]),
            **role_session(record),
        )
        self._machines.boot(facts, self.world.machine_faults, self.world.silent)

    def _event(self, record: Record, event: str) -> None:
        self.world.record(record["InstanceId"], event, record["InstanceType"])
