"""EC2's authorization of instances, capacity reservations, spot requests and new images.

Their tags are condition keys, every one that a call names counts, and what is created with tags
needs the right to tag it. The same instances are what connections are authorized on.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
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
CONNECTIONS = {"ec2-instance-connect": "InstanceId", "ssm": "Target"}
"""Services that connect to an instance, with the field that names it: SendSSHPublicKey and
StartSession. The document of a session is not looked at."""
CREATED = {"CreateCapacityReservation": "capacity-reservation"}
"""Kind of the resource that a call creates, which it may tag: its ARN has no id yet."""
TAGGED = {
    **{name: (kind,) for name, kind in CREATED.items()},
    "RunInstances": ("spot-instances-request",),
    "CreateImage": ("image", "snapshot"),
}
"""Kinds of the resources that a call tags. Tags of instances and volumes are not looked at."""
ALWAYS = ("CreateImage",)
"""Calls that are authorized on those resources without tags, too; EC2 looks at the spot request of
RunInstances only with tags (EC2 user guide, "Tag Spot Instance requests")."""
WITHOUT_ACCOUNT = ("image", "snapshot")
"""Kinds that have no account in their ARN."""
Parameters = Mapping[str, Any]


def install() -> None:
    """Correct how ministack's IAM reads a call of EC2.

    Upstream no condition on an instance's tags is ever met, only the first instance of a call is
    authorized, a Describe call is authorized on the resource that it names (on AWS it needs
    `*`), a connection on no instance, CreateImage on no image, and nothing is known of capacity
    reservations, spot requests and TagSpecifications.
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
        elif machine := _connected(service, request[3]):
            return _arn("instance", machine)
        arn: str = plain_arn(service, *request)
        return arn

    def request_tag_context(
        service: str, action: str, body: bytes, parameters: Parameters
    ) -> dict[str, Any]:
        context: dict[str, Any] = plain_context(service, action, body, parameters)
        if machine := _connected(service, body):
            return {**_tags_of(machine, (*KEYS, "ssm:resourceTag")), **context}
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
    for kind in TAGGED.get(name, ()):
        context, tagged = _requested(parameters, kind), tags(parameters, kind)
        if name in ALWAYS or (tagged and name not in CREATED):
            yield f"ec2:{name}", _arn(kind, "*"), context
        if tagged:
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


def _connected(service: str, body: bytes) -> str:
    """The instance that a call connects to; empty if it is no such call."""
    member = CONNECTIONS.get(service)
    return str(json.loads(body or b"{}").get(member, "")) if member else ""


def _arn(kind: str, name: str) -> str:
    account = "" if kind in WITHOUT_ACCOUNT else get_account_id()
    return f"arn:aws:ec2:{get_region()}:{account}:{kind}/{name}"


def _tags_of(name: str, keys: Iterable[str] = KEYS) -> dict[str, Any]:
    """The tags of a resource as condition keys."""
    return {
        f"{key}/{tag['Key']}".lower(): tag["Value"]
        for key in keys
        for tag in ec2._tags.get(name, [])
    }


def _requested(parameters: Parameters, kind: str) -> dict[str, Any]:
    """The tags that a call gives to what it creates, as condition keys."""
    given = tags(parameters, kind)
    keys: dict[str, Any] = {f"aws:RequestTag/{tag['Key']}".lower(): tag["Value"] for tag in given}
    return keys | ({"aws:TagKeys": [tag["Key"] for tag in given]} if given else {})
