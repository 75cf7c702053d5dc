"""Service Quotas, the price list, public parameters, and planned faults of all services."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import botocore.session
from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, ssm
from ministack.services.cloudformation import helpers as cloudformation_helpers

from localaws.account import prices
from localaws.account.ec2 import wire
from localaws.account.ec2.images import public_images
from localaws.account.errors import ApiError
from localaws.account.quotas import HANDLERS
from localaws.account.world import World

Answer = tuple[int, dict[str, str], bytes]
Service = Callable[[str, str, Mapping[str, str], bytes, Mapping[str, Any]], Awaitable[Answer]]
PUBLIC = ":parameter/aws/service/"
_JSON = "application/x-amz-json-1.1"
HANG_SECONDS = 120
"""How long a call that hangs gets no answer; then it gets status 503."""

SLOW_SECONDS = 0.3
"""How long a slow call takes longer."""

_NO_IMAGE = "The image id does not exist"
_FAULTS = {
    ("throttle", "ec2"): ("RequestLimitExceeded", "Request limit exceeded.", 503),
    ("throttle", "servicequotas"): ("TooManyRequestsException", "Too Many Requests", 400),
    ("throttle", "ssm"): ("ThrottlingException", "Rate exceeded", 400),
    ("deny", "ec2"): (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: somebody is not authorized to "
        "perform: ec2:{} because no identity-based policy allows it",
        403,
    ),
    ("forbid", "ec2"): (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: somebody is not authorized to "
        "perform: ec2:{} on resource: arn:aws:ec2:*:*:* with an explicit deny in a service "
        "control policy. Encoded authorization failure message: none",
        403,
    ),
    ("unsupported", "ec2"): (
        "Unsupported",
        "The requested configuration is currently not supported. Please check the documentation "
        "for supported configurations.",
        400,
    ),
    ("deny", "servicequotas"): (
        "AccessDeniedException",
        "User is not authorized to perform: servicequotas:{}",
        400,
    ),
    ("deny", "ssm"): ("AccessDeniedException", "User is not authorized to perform: ssm:{}", 400),
    ("throttle", "pricing"): ("ThrottlingException", "Rate exceeded", 400),
    ("deny", "pricing"): (
        "AccessDeniedException",
        "User is not authorized to perform: pricing:{}",
        400,
    ),
    ("missing", "ec2"): ("InvalidParameterValue", "{}: it does not exist", 400),
    ("missing", "servicequotas"): (
        "NoSuchResourceException",
        "The request failed because the specified service quota does not exist.",
        400,
    ),
    ("missing", "ssm"): ("ParameterNotFound", "", 400),
    ("throttle", "ec2-instance-connect"): ("ThrottlingException", "Rate exceeded", 400),
    ("deny", "ec2-instance-connect"): (
        "AccessDeniedException",
        "User is not authorized to perform: ec2-instance-connect:{}",
        400,
    ),
    ("throttle", "cloudformation"): ("Throttling", "Rate exceeded", 400),
    ("deny", "cloudformation"): (
        "AccessDenied",
        "User is not authorized to perform: cloudformation:{}",
        403,
    ),
    ("expired", "cloudformation"): (
        "ExpiredToken",
        "The security token included in the request is expired",
        403,
    ),
    ("unsettled", "DescribeImages"): ("InvalidAMIID.NotFound", _NO_IMAGE, 400),
    ("unsettled", "DeregisterImage"): ("InvalidAMIID.NotFound", _NO_IMAGE, 400),
    ("unsettled", "DescribeSnapshots"): (
        "InvalidSnapshot.NotFound",
        "The snapshot does not exist.",
        400,
    ),
    ("unsettled", "DeleteSnapshot"): (
        "InvalidSnapshot.InUse",
        "The snapshot is currently in use",
        400,
    ),
}
"""By kind, and service or operation."""


def install(world: World) -> None:
    """Add Service Quotas, the price list and public parameters, and faults of six services."""
    for name, prefix in (
        ("servicequotas", "ServiceQuotasV20190624"),
        ("pricing", "AWSPriceListService"),
    ):
        router.SERVICE_PATTERNS[name] = {"target_prefixes": [prefix], "host_patterns": []}
        iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = name
    # Upstream reads the models of all services, four seconds in every account
    folders = botocore.session.get_session().get_available_services()
    router._KNOWN_AWS_SERVICE_NAMES = frozenset({"servicequotas", "pricing", *folders})
    app.SERVICE_HANDLERS["servicequotas"] = _service_quotas(world)
    app.SERVICE_HANDLERS["pricing"] = _price_list
    for name in (
        "ec2",
        "ssm",
        "servicequotas",
        "cloudformation",
        "pricing",
        "ec2-instance-connect",
    ):
        app.SERVICE_HANDLERS[name] = _with_faults(name, app.SERVICE_HANDLERS[name], world)
    _correct_authorization()
    plain = ssm._public_parameter

    def public_parameter(name: str) -> Any:
        image = public_images(get_region()).get(name)
        if image is None:
            return plain(name)
        return {
            "Name": name,
            "Type": "String",
            "Value": image.image_id,
            "Version": 1,
            "ARN": f"arn:aws:ssm:{get_region()}::parameter{name}",
            "LastModifiedDate": 1793577600,
            "DataType": "aws:ec2:image",
        }

    ssm._public_parameter = public_parameter


def install_refusals(world: World) -> None:
    """Add planned faults for calls of all other services, with ministack's messages."""
    for name in (
        "dynamodb",
        "events",
        "iam",
        "imagebuilder",
        "lambda",
        "logs",
        "s3",
        "scheduler",
        "sns",
        "sts",
    ):
        app.SERVICE_HANDLERS[name] = _with_refusals(name, app.SERVICE_HANDLERS[name], world)


def _with_refusals(name: str, service: Service, world: World) -> Service:
    async def refusing(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        action = iam_actions.extract_iam_action(name, method, path, headers, body, query) or ""
        kind = world.take_fault(action) or world.take_fault(action.partition(":")[2])
        if kind is None:
            return await service(method, path, headers, body, query)
        code = {"deny": "", "throttle": "ThrottlingException"}[kind]
        caller, request = f"arn:aws:iam::{get_account_id()}:root", str(uuid.uuid4())
        refusal: Answer = iam_actions.access_denied_response(
            name, action, caller, request, error_code=code, headers=headers
        )
        return refusal

    return refusing


def _correct_authorization() -> None:
    """Correct what ministack's IAM reads in a call.

    Requests count as made by TLS, without which the bootstrap bucket denies them. Upstream public
    parameters have an account in their ARN, on AWS they have none.
    """
    plain_origin, plain_arn = app.pin_request_origin, iam_actions.extract_resource_arn

    def pin_request_origin(source_ip: str, secure_transport: bool) -> None:
        plain_origin(source_ip, True)

    def extract_resource_arn(service: str, *request: Any) -> str:
        if service == "pricing":
            return "*"
        if service == "servicequotas":
            return _quota_arn(_operation(request[2], request[3]), request[3])
        if service == "ec2-instance-connect":
            owner = f"arn:aws:ec2:{get_region()}:{get_account_id()}"
            return f"{owner}:instance/{json.loads(request[3]).get('InstanceId', '')}"
        arn: str = plain_arn(service, *request)
        if PUBLIC in arn:
            return arn.replace(f":{get_account_id()}{PUBLIC}", f":{PUBLIC}")
        return arn

    app.pin_request_origin = pin_request_origin
    iam_actions.extract_resource_arn = extract_resource_arn


def _quota_arn(operation: str, body: bytes) -> str:
    """The resource that a call is authorized on: only a request to raise a quota has one.

    So a policy that names quotas allows none of the reads: they need `*`.
    """
    if operation != "RequestServiceQuotaIncrease":
        return "*"
    request = json.loads(body)
    owner = f"arn:aws:servicequotas:{get_region()}:{get_account_id()}"
    return f"{owner}:{request['ServiceCode']}/{request['QuotaCode']}"


def _service_quotas(world: World) -> Service:
    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        operation = _operation(headers, body)
        if operation not in HANDLERS:
            return _json_refusal(ApiError("UnknownOperationException", f"no {operation} here"))
        try:
            if operation == "RequestServiceQuotaIncrease":
                _create_quota_role(router.extract_access_key_id(headers, query))
            request = json.loads(body or b"{}")
            answer = HANDLERS[operation](world, request, get_region(), get_account_id())
        except ApiError as error:
            return _json_refusal(error)
        return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()

    return service


async def _price_list(
    method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
) -> Answer:
    """The price list's only operation that is needed; ministack has no such service."""
    operation = _operation(headers, body)
    if operation != "GetProducts":
        return _json_refusal(ApiError("UnknownOperationException", f"no {operation} here"))
    try:
        answer = prices.get_products(json.loads(body or b"{}"))
    except ApiError as error:
        return _json_refusal(error)
    return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()


def _create_quota_role(access_key: str) -> None:
    """Create the service-linked role as the caller, as an account's first request does."""
    service, name = "servicequotas.amazonaws.com", "AWSServiceRoleForServiceQuotas"
    if name in iam._roles:
        return
    path = f"/aws-service-role/{service}/"
    arn = f"arn:aws:iam::{get_account_id()}:role{path}{name}"
    request = {"iam:AWSServiceName": service}
    action = "iam:CreateServiceLinkedRole"
    if iam_evaluator.enforce(access_key, action, "iam", get_region(), arn, request) is not None:
        raise ApiError(
            "DependencyAccessDeniedException", "Service-linked role creation access denied."
        )
    iam._create_service_linked_role({"AWSServiceName": [service]})
    record = iam._roles.pop("AWSServiceRoleForServicequotas")  # ministack's guess at the name
    iam._roles[name] = {**record, "RoleName": name, "Arn": arn}


def _with_faults(name: str, service: Service, world: World) -> Service:
    async def faulty(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        operation = _operation(headers, body)
        world.calls.append(operation)
        names, region = (operation, f"{name}:{operation}", "*"), get_region()
        kind = next((found for one in names if (found := world.take_fault(one, region))), None)
        if kind == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        if kind in (None, "slow", "lost"):
            answer = await service(method, path, headers, body, query)
            return _cut_off(answer) if kind == "lost" else answer
        if kind == "hang":
            await asyncio.sleep(HANG_SECONDS)
            kind = "throttle"
        code, text, status = _FAULTS.get((kind, operation)) or _FAULTS[kind, name]
        error = ApiError(code, text.format(operation), status)
        return _REFUSALS.get(name, _json_refusal)(error)

    return faulty


def _cut_off(answer: Answer) -> Answer:
    """An answer of which only the head arrives: the server then ends the connection."""
    status, headers, _ = answer
    return status, {**headers, "Content-Length": "65536"}, b""


def _operation(headers: Mapping[str, str], body: bytes) -> str:
    """Name of the called operation: in a header for JSON services, in the form for EC2."""
    target = headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    return parse_qs(body.decode(errors="replace")).get("Action", [""])[0]


def _json_refusal(error: ApiError) -> Answer:
    text = json.dumps({"__type": error.code, "message": error.message})
    return error.status, {"Content-Type": _JSON, "x-amzn-errortype": error.code}, text.encode()


def _query_refusal(error: ApiError) -> Answer:
    answer: Answer = cloudformation_helpers._error(error.code, error.message, error.status)
    return answer


_REFUSALS = {"ec2": wire.refusal, "cloudformation": _query_refusal}
