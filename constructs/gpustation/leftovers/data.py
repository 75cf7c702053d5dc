"""Log groups, parameters, tables, topics, and the bucket of ``cdk bootstrap``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from gpustation.catalog import prices
from gpustation.leftovers.account import Call
from gpustation.leftovers.commands import chain
from gpustation.leftovers.kind import Kind, Resource, Row
from gpustation.leftovers.ownership import Ownership
from gpustation.leftovers.search import Search
from gpustation.leftovers.steps import Step

_TABLE = Call("dynamodb", "describe_table", "Table")
BOOTSTRAP_BUCKET = "cdk-[a-z0-9]+-assets-[0-9]{12}-"
"""Name of the bucket, before its region; the first variable part is the qualifier."""
_VERSIONS = shlex.quote("{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}")


class LogGroup(Resource):
    """Costs what it stores."""

    price = f"{prices.LOGS_PER_GB} per GB"

    def _cost(self) -> prices.Cost:
        return prices.log_group(self.row.get("storedBytes", 0))


class Parameter(Resource):
    """Costs only if it is advanced."""

    price = f"{prices.ADVANCED_PARAMETER} if advanced"

    def _cost(self) -> prices.Cost:
        return prices.parameter(self.row.get("Tier", ""))


class Topic(Resource):
    """Is deleted with its subscriptions."""

    added = ("TopicName",)

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """Each with its name, which is the end of its ARN."""
        for row in super().rows(search, kind):
            yield {**row, "TopicName": row["TopicArn"].rpartition(":")[2]}


class Table(Resource):
    """Costs what it stores, with its point-in-time recovery."""

    reads = (_TABLE,)
    added = ("TableName", "TableArn", "CreationDateTime")
    price = f"{prices.TABLE_PER_GB:.2f} per GB"

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """As DescribeTable returns each; the list has only names."""
        names = search.account.list(*kind.lists)
        described = search.account.each(
            names, lambda name: search.account.read(*_TABLE, TableName=name)
        )
        for _, row in described:
            if row and row["TableStatus"] != "DELETING":
                yield row

    def _cost(self) -> prices.Cost:
        return prices.table(self.row.get("TableSizeBytes", 0))


class BootstrapBucket(Resource):
    """Listed to show what is kept: our stacks create no buckets."""

    price = f"{prices.BUCKET_PER_GB} per GB, not counted"

    @classmethod
    def rows(cls, search: Search, kind: Kind) -> Iterator[Row]:
        """The bootstrap's buckets; they are retained when its stack is deleted."""
        name = re.compile(BOOTSTRAP_BUCKET + re.escape(search.region))
        for bucket in search.account.list(*kind.lists, BucketRegion=search.region):
            if name.fullmatch(bucket["Name"]):
                yield bucket

    def _cost(self) -> prices.Cost:
        return prices.bucket()

    def _ownership(self) -> Ownership:
        return Ownership("the name of `cdk bootstrap`'s bucket")

    def _stays(self) -> str:
        return (
            "it holds templates and scripts of every CDK app of the account in this region; "
            "`cdk gc` removes what no stack uses"
        )

    def _removal(self, steps: Iterable[Step]) -> str:
        """Also deletes old versions, up to 1000 at a time, which ``aws s3 rb --force`` does not.

        An empty bucket is deleted by the first command.
        """
        deletion = chain(*(step.command for step in steps))
        versions = self.step("s3api list-object-versions", bucket=self.id).command
        listed = f"{versions} --query {_VERSIONS} --max-items 1000 --output json"
        emptied = self.step("s3api delete-objects", bucket=self.id).command
        again = chain(f'{emptied} --delete "$({listed})"', deletion)
        return f"{deletion} || ({again})"
