"""Networks. Everything in a VPC that is left is listed, as the VPC cannot be deleted before it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

from gpustation.aws.own_rules import group_of
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.ownership import NOT_PROVEN, Ownership
from gpustation.leftovers.search import Search
from gpustation.leftovers.steps import Step


class Network(Resource):
    """A VPC, or a part of one."""

    @property
    def _attachments(self) -> list[Row]:
        rows: list[Row] = self.row.get("Attachments", [])
        return rows

    @property
    def _associations(self) -> list[Row]:
        rows: list[Row] = self.row.get("Associations", [])
        return rows

    def _within(self) -> list[str]:
        return [(self.row.get("Attachment") or {}).get("InstanceId", "")]

    def _doubts(self) -> Iterator[str]:
        # Instances in its subnet or, if the VPC is left, in the whole VPC
        member = "SubnetId" if "SubnetId" in self.row else "VpcId"
        place = self.row.get(member)
        if member == "SubnetId" or place in self._vpcs_left:
            instances = self.search.listed("instance")
            users = [row["InstanceId"] for row in instances if row.get(member) == place]
            yield from self.in_use("in use by", "instance", users)

    @property
    def _vpcs_left(self) -> set[str]:
        return {*self.search.by_id("vpc")}


class Vpc(Network):
    """Is deleted after everything in it."""

    @property
    def _vpcs_left(self) -> set[str]:
        return {self.id}


class Part(Network):
    """A part of a VPC."""

    def _part_of(self) -> Ownership | None:
        # Another person or service may have created it
        vpcs = [self.row.get("VpcId"), *(row.get("VpcId") for row in self._attachments)]
        reasons = [f"in {vpc}, which is left" for vpc in vpcs if vpc in self._vpcs_left]
        return Ownership(reasons[0], NOT_PROVEN) if reasons else None


class SshRule(Resource):
    """A rule of ``gpustation allow-my-ip`` whose time is over, in a group that is not left."""

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """The expired rules of all groups."""
        now = datetime.now(timezone.utc)
        for group in super().rows(search, kind):
            for rule in group_of(group).own:  # type: ignore[arg-type]
                if rule.expired(now):
                    yield {"GroupId": rule.group_id, "Rule": rule}

    @property
    def id(self) -> str:
        """Its group and its address."""
        return f"{self.row['GroupId']}:{self.row['Rule'].address}/32"

    def _ownership(self) -> Ownership | None:
        if self.row["GroupId"] in self.search.by_id("security group"):
            return None  # it is deleted with its group
        return Ownership(f"gpustation allow-my-ip opened port 22 to {self.row['Rule']}")

    def _steps(self) -> list[Step]:
        address = f"{self.row['Rule'].address}/32"
        options = {"group_id": self.row["GroupId"], "protocol": "tcp", "port": "22"}
        return [self.step(self.kind.removal, **options, cidr=address)]


class InternetGateway(Part):
    """Is detached first."""

    def _doubts(self) -> Iterator[str]:
        return self.in_use("in use by", "vpc", [row["VpcId"] for row in self._attachments])

    def _steps(self) -> list[Step]:
        words, options = "ec2 detach-internet-gateway", {"internet_gateway_id": self.id}
        vpcs = [row["VpcId"] for row in self._attachments]
        return [*(self.step(words, **options, vpc_id=vpc) for vpc in vpcs), self.deletion]


class RouteTable(Part):
    """Is disassociated from its subnets first."""

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Without the main route tables, which are deleted with their VPCs."""
        for row in super().rows(search, kind):
            if not any(association.get("Main") for association in row.get("Associations", [])):
                yield row

    def _doubts(self) -> Iterator[str]:
        yield from super()._doubts()
        # A subnet that is not deleted with its VPC would lose its routes
        if self.row.get("VpcId") not in self.search.certain("vpc"):
            subnets = [row["SubnetId"] for row in self._associations if row.get("SubnetId")]
            yield from self.in_use("in use by", "subnet", subnets)

    def _steps(self) -> list[Step]:
        words = "ec2 disassociate-route-table"
        ids = [row["RouteTableAssociationId"] for row in self._associations]
        return [*(self.step(words, association_id=each) for each in ids), self.deletion]
