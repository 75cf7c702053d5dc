"""Whether there is room for a machine: what its zone offers, the quota, capacity, reservations."""

from __future__ import annotations

from ministack.core.responses import get_region
from ministack.services import ec2

from localaws.account import quotas
from localaws.account.ec2 import catalog
from localaws.account.ec2.reservation import Reservation
from localaws.account.ec2.reservations import Reservations
from localaws.account.errors import ApiError
from localaws.account.world import World
from localaws.reports import Use

RUNNING = ("pending", "running")
CONTACT = "http://aws.amazon.com/contact-us/ec2-request"


class Room:
    """Refuses what AWS refuses.

    Args:
        world: The account's state.
        reservations: Its capacity reservations.
    """

    def __init__(self, world: World, reservations: Reservations) -> None:
        self._world = world
        self._reservations = reservations

    def require_launch(
        self,
        instance_type: str,
        zone: str,
        *,
        spot: bool,
        platform: str,
        preference: str = "open",
        fulfils: str = "",
    ) -> Reservation | None:
        """Find room for an on-demand or spot machine.

        Args:
            instance_type: Its type.
            zone: Name of its zone.
            spot: Whether it is a spot machine.
            platform: That of its image.
            preference: Whether it may be in an open reservation: `open` or `none`.
            fulfils: Id of the open spot request that it is for, which counts already.

        Returns:
            The open reservation whose slot an on-demand machine takes: it needs no other capacity
            and is within the quota already. That the quota counts it once follows from AWS's rule
            that reservations count, used or not; nobody was found who tried it at a full quota.

        Raises:
            ApiError: Not offered in the zone, quota, capacity.
        """
        self._require_offering(instance_type, zone)
        if not spot and preference == "open":
            reservation = self._reservations.fitting(instance_type, zone, platform)
            if reservation is not None and (reservation.is_own or self._fits(instance_type, 1)):
                return reservation
        if not self._fits(instance_type, 1, spot=spot, without=fulfils):
            raise _too_many(instance_type, spot, self._limit(instance_type, spot))
        full = self._is_full("spot" if spot else "launch", instance_type, zone)
        if full and spot:
            text = "There is no Spot capacity available that matches your request."
            raise ApiError("InsufficientInstanceCapacity", text, 500)
        if full:
            raise ApiError(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {instance_type} capacity in the "
                f"Availability Zone you requested ({zone}). Our system will be working on "
                f"provisioning additional capacity.{self._elsewhere(instance_type, zone)}",
                500,
            )
        return None

    def _elsewhere(self, instance_type: str, zone: str) -> str:
        """What EC2 adds if other zones have capacity."""
        offered = catalog.offerings(get_region(), self._world.offerings)
        kinds = {row["ZoneName"]: row["ZoneType"] for row in catalog.zones(get_region())}
        free = [
            other
            for kind, other in sorted(offered)
            if (kind, kinds.get(other)) == (instance_type, "availability-zone")
            and other != zone
            and not self._is_full("launch", instance_type, other)
        ]
        if not free:
            return ""
        return (
            f" You can currently get {instance_type} capacity by not specifying an Availability "
            f"Zone in your request or choosing {', '.join(free)}."
        )

    def require_reservation(self, instance_type: str, zone: str, count: int) -> None:
        """Find room for a capacity reservation: what the quota has left beside all that runs.

        Which code AWS has for the quota is not documented; text and status of the refusal for
        capacity are those of public reports.

        Raises:
            ApiError: Not offered in the zone, quota, capacity.
        """
        self._require_offering(instance_type, zone)
        if not self._fits(instance_type, count):
            limit = self._limit(instance_type, spot=False)
            raise ApiError(
                "InstanceLimitExceeded",
                f"You have requested more instances ({count}) than your current instance limit of "
                f"{limit:.0f} vCPUs allows for the specified instance type. Please visit {CONTACT} "
                "to request an adjustment to this limit.",
            )
        if self._is_full("reservation", instance_type, zone):
            raise ApiError("InsufficientInstanceCapacity", "Insufficient capacity.", 500)

    def _require_offering(self, instance_type: str, zone: str) -> None:
        if instance_type not in catalog.instance_types():
            raise ApiError(
                "InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType."
            )
        offered = catalog.offerings(get_region(), self._world.offerings)
        zones = sorted({z for kind, z in offered if kind == instance_type})
        if zone not in zones:
            others = ", ".join(zones) or "another region"
            raise ApiError(
                "Unsupported",
                f"Your requested instance type ({instance_type}) is not supported in your "
                f"requested Availability Zone ({zone}). Please retry your request by not "
                f"specifying an Availability Zone or choosing {others}.",
            )

    def _is_full(self, use: Use, instance_type: str, zone: str) -> bool:
        """Whether the last rule that fits says that there is no capacity."""
        full = False
        for rule in self._world.capacity:
            if rule.fits(use, instance_type, zone):
                full = not rule.available
        return full

    def _fits(
        self, instance_type: str, count: int, *, spot: bool = False, without: str = ""
    ) -> bool:
        """Whether the quota has room for so many more, one open spot request not counted."""
        code = quotas.bucket(instance_type, spot)
        if code is None or not self._world.enforce:
            return True
        need = count * catalog.vcpus(instance_type)
        return self._in_use(code, without) + need <= quotas.limit(self._world, code)

    def _limit(self, instance_type: str, spot: bool) -> float:
        return quotas.limit(self._world, quotas.bucket(instance_type, spot) or "")

    def _in_use(self, code: str, without: str) -> float:
        """vCPUs: reservations, used or not, instances outside of them, open spot requests."""
        held = [row for row in self._reservations.active() if row.is_own]
        inside = {name for row in held for name in row.inside}
        reserved = sum(
            row.total * catalog.vcpus(row.instance_type)
            for row in held
            if quotas.bucket(row.instance_type, False) == code
        )
        asked = sum(
            catalog.vcpus(row.launch.instance_type)
            for row in self._world.spot_requests.values()
            if (row.state, row.region) == ("open", get_region())
            and row.id != without
            and quotas.bucket(row.launch.instance_type, True) == code
        )
        running = sum(
            catalog.vcpus(record["InstanceType"])
            for record in ec2._instances.values()
            if record["State"]["Name"] in RUNNING
            and record["InstanceId"] not in inside
            and quotas.bucket(record["InstanceType"], bool(record["_lifecycle"])) == code
        )
        return reserved + asked + running


def _too_many(instance_type: str, spot: bool, limit: float) -> ApiError:
    if spot:
        return ApiError("MaxSpotInstanceCountExceeded", "Max spot instance count exceeded")
    return ApiError(
        "VcpuLimitExceeded",
        f"You have requested more vCPU capacity than your current vCPU limit of {limit:.0f} "
        "allows for the instance bucket that the specified instance type belongs to. Please "
        f"visit {CONTACT} to request an adjustment to this limit.",
    )
