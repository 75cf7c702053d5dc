"""Functions, logs and parameters, and the bucket of ``cdk bootstrap``.

No stack of ours makes buckets or repositories; the bootstrap's alone is shown, as what stays.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from gpustation.catalog import prices
from gpustation.leftovers.account import moment
from gpustation.leftovers.ours import Ownership
from gpustation.leftovers.result import Leftover, chain, command, leftover
from gpustation.leftovers.search import Search

Found = Mapping[str, Any]
BOOTSTRAP_BUCKET = "cdk-[a-z0-9]+-assets-[0-9]{12}-"
"""Name of the bucket of ``cdk bootstrap``, before its region; the middle is the qualifier."""
_OBJECTS = "{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}"


def leftovers(search: Search) -> Iterator[Leftover]:
    """Everything of these kinds that is left."""
    yield from _functions(search)
    yield from _log_groups(search)
    yield from _parameters(search)
    yield from _bootstrap(search)


def _functions(search: Search) -> Iterator[Leftover]:
    found = search.account.list("lambda", "list_functions", "Functions")

    def tags(function: Found) -> Any:
        return search.account.tags("lambda", "list_tags", "Tags", Resource=function["FunctionArn"])

    for function, tagged in search.account.each(found, tags):
        name, arn = function["FunctionName"], function["FunctionArn"]
        why = search.left(tagged, name, arn, name=name)
        if why:
            removal = command("lambda delete-function", search.region, function_name=name)
            created = moment(function.get("LastModified"))
            yield leftover("function", name, search.region, why, removal, created=created)


def _log_groups(search: Search) -> Iterator[Leftover]:
    """Log groups; a service that writes late makes one anew, without tags, under the old name."""
    found = search.account.list("logs", "describe_log_groups", "logGroups")

    def tags(group: Found) -> Any:
        arn = group["arn"].removesuffix(":*")
        return search.account.tags("logs", "list_tags_for_resource", "tags", resourceArn=arn)

    for group, tagged in search.account.each(found, tags):
        name = group["logGroupName"]
        why = search.left(tagged, name, name=name)
        if why:
            removal = command("logs delete-log-group", search.region, log_group_name=name)
            created = datetime.fromtimestamp(group["creationTime"] / 1000, timezone.utc)
            cost = prices.log_group(group.get("storedBytes", 0))
            yield leftover(
                "log group", name, search.region, why, removal, created=created, cost=cost
            )


def _parameters(search: Search) -> Iterator[Leftover]:
    found = search.account.list("ssm", "describe_parameters", "Parameters")

    def tags(parameter: Found) -> Any:
        return search.account.tags(
            "ssm",
            "list_tags_for_resource",
            "TagList",
            ResourceType="Parameter",
            ResourceId=parameter["Name"],
        )

    for parameter, tagged in search.account.each(found, tags):
        name, changed = parameter["Name"], parameter.get("LastModifiedDate")
        why = search.left(tagged, name, name=name, made=changed)
        if why:
            removal = command("ssm delete-parameter", search.region, name=name)
            cost = prices.parameter(parameter.get("Tier", ""))
            yield leftover(
                "parameter", name, search.region, why, removal, created=changed, cost=cost
            )


def _bootstrap(search: Search) -> Iterator[Leftover]:
    """The bucket stays even when its stack is deleted: its own policy is to be retained."""
    ours = re.compile(BOOTSTRAP_BUCKET + re.escape(search.region))
    found = search.account.list("s3", "list_buckets", "Buckets", BucketRegion=search.region)
    for bucket in found:
        name = bucket["Name"]
        if ours.fullmatch(name):
            yield leftover(
                "bucket",
                name,
                search.region,
                Ownership("the name of `cdk bootstrap`'s bucket"),
                _bucket_removal(search.region, name),
                created=bucket.get("CreationDate"),
                cost=prices.bucket(),
                stays="templates and scripts of every CDK app of the account in this region lie "
                "in it; `cdk gc` removes what no stack uses",
            )


def _bucket_removal(region: str, name: str) -> str:
    """The bucket keeps old versions, which ``aws s3 rb --force`` does not remove.

    A bucket that is empty goes at the first try; of a full one 1000 versions go at a time.
    """
    delete = command("s3api delete-bucket", region, bucket=name)
    versions = command("s3api list-object-versions", region, bucket=name)
    paged = f"--query {shlex.quote(_OBJECTS)} --max-items 1000 --output json"
    listed = f'"$({versions} {paged})"'
    emptied = f"{command('s3api delete-objects', region, bucket=name)} --delete {listed}"
    return f"{delete} || ({chain(emptied, delete)})"
