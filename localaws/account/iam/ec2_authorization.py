"""EC2's authorization of instances, capacity reservations and spot requests.

Their tags are condition keys, every one that a call names counts, and what is created with tags
needs the right to tag it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2

from localaws.account.ec2.request import tags

KEYS = ("aws:ResourceTag", "ec2:ResourceTag")
NAMED = {
    "InstanceId": "instance",
    "CapacityReservationId": "capacity-reservation",
    "SpotInstanceRequestId": "spot-instances-request",
}
"""Kind of the resources that a call names, by the parameter that names them."""
CREATED = {"CreateCapacityReservation": "capacity-reservation"}
"""Kind of the resource that a call creates, which it may tag: its ARN has no id yet."""
TAGGED = {**CREATED, "RunInstances": "spot-instances-request"}
"""Kind of the resource that a call tags: EC2 looks at the spot request of RunInstances only then
(EC2 user guide, "Tag Spot Instance requests"). Tags of instances and volumes are not looked at."""
Parameters = Mapping[str, Any]


def install() -> None:
    """Correct how ministack's IAM reads a call of EC2.

    Upstream no condition on an instance's tags is ever met, only the first instance of a call is
    authorized, a Describe call is authorized on the resource that it names (on AWS it needs
    `*`), and nothing is known of capacity reservations, spot requests and TagSpecifications.
    """
    plain_arn, plain_context = iam_actions.extract_resource_arn, iam_actions.request_tag_context
    plain_service = app.SERVICE_HANDLERS["ec2"]

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == "ec2":
            action, first = str(ec2._p(request[4], "Action")), _first(request[4])
            if action.startswith("Describe"):
                return "*"
            if action in CREATED:
                return _arn(CREATED[action], "*")
            if first is not None:
                return _arn(*first)
        arn: str = plain_arn(service, *request)
        return arn

    def request_tag_context(
        service: str, action: str, body: bytes, parameters: Parameters
    ) -> dict[str, Any]:
        context: dict[str, Any] = plain_context(service, action, body, parameters)
        if service != "ec2":
            return context
        first = _first(parameters)
        of_named = _tags_of(first[1]) if first else {}
        kind = CREATED.get(action.partition(":")[2])
        of_created = _requested(parameters, kind) if kind else {}
        return {**of_named, **of_created, **context}

    async def authorized(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Parameters
    ) -> Any:
        parameters = {**parse_qs(body.decode(errors="replace")), **query}
        for action, arn, context in _further(parameters):
            key = router.extract_access_key_id(dict(headers), dict(query))
            refused = iam_evaluator.enforce(key, action, "ec2", get_region(), arn, context)
            if refused is not None:
                request = str(uuid.uuid4())
                return iam_actions.access_denied_response(
                    "ec2", action, refused.principal_arn, request, headers=headers
                )
        return await plain_service(method, path, headers, body, query)

    iam_actions.extract_resource_arn = extract_resource_arn
    iam_actions.request_tag_context = request_tag_context
    app.SERVICE_HANDLERS["ec2"] = authorized


def _further(parameters: Parameters) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Action, resource and condition keys of what a call needs beside its first resource."""
    name = str(ec2._p(parameters, "Action"))
    if not name.startswith("Describe"):
        for kind, resource in _named(parameters)[1:]:
            yield f"ec2:{name}", _arn(kind, resource), _tags_of(resource)
    kind = TAGGED.get(name, "")
    if kind and tags(parameters, kind):
        context = _requested(parameters, kind)
        if name not in CREATED:
            yield f"ec2:{name}", _arn(kind, "*"), context
        yield "ec2:CreateTags", _arn(kind, "*"), context | {"ec2:CreateAction": name}


def _named(parameters: Parameters) -> list[tuple[str, str]]:
    """Kind and id of each resource that a call names."""
    return [
        (kind, name)
        for member, kind in NAMED.items()
        for name in ec2._parse_member_list(parameters, member)
        or filter(None, [str(ec2._p(parameters, member))])
    ]


def _first(parameters: Parameters) -> tuple[str, str] | None:
    return next(iter(_named(parameters)), None)


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:ec2:{get_region()}:{get_account_id()}:{kind}/{name}"


def _tags_of(name: str) -> dict[str, Any]:
    """The tags of a resource as condition keys."""
    return {
        f"{key}/{tag['Key']}".lower(): tag["Value"]
        for key in KEYS
        for tag in ec2._tags.get(name, [])
    }


def _requested(parameters: Parameters, kind: str) -> dict[str, Any]:
    """The tags that a call gives to what it creates, as condition keys."""
    given = tags(parameters, kind)
    keys: dict[str, Any] = {f"aws:RequestTag/{tag['Key']}".lower(): tag["Value"] for tag in given}
    return keys | ({"aws:TagKeys": [tag["Key"] for tag in given]} if given else {})
