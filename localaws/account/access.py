"""EC2 Instance Connect, and Session Manager's sessions to machines that boot.

A session's stream is no web socket but a port of this computer, which leads to a port of the
machine: the stand-in for the plug-in (localaws/session_manager/) carries bytes to it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import iam_actions, router

from localaws.account.ec2.instances import Instances
from localaws.account.errors import ApiError
from localaws.machines.booted.machines import BootedMachines

Answer = tuple[int, dict[str, str], bytes]
CONNECT = "ec2-instance-connect"
_JSON = "application/x-amz-json-1.1"
_SSH_DOCUMENT = "AWS-StartSSHSession"


def install(instances: Instances) -> None:
    """Add the services' calls; upstream none of them exists."""
    router.SERVICE_PATTERNS[CONNECT] = {
        "target_prefixes": ["AWSEC2InstanceConnectService"],
        "host_patterns": [],
    }
    iam_actions.SERVICE_TO_IAM_NAMESPACE[CONNECT] = CONNECT
    app.SERVICE_HANDLERS[CONNECT] = _service(
        {"SendSSHPublicKey": lambda request: _send_key(instances, request)}
    )
    plain = app.SERVICE_HANDLERS["ssm"]
    sessions = _service(
        {
            "StartSession": lambda request: _start_session(instances, request),
            "TerminateSession": lambda request: {"SessionId": request["SessionId"]},
            "DescribeInstanceInformation": lambda request: _managed(instances, request),
        },
        otherwise=plain,
    )
    app.SERVICE_HANDLERS["ssm"] = sessions


def _service(
    operations: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]], otherwise: Any = None
) -> Any:
    async def service(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, Any]
    ) -> Answer:
        operation = operations.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if operation is None:
            if otherwise is None:
                return _refusal(ApiError("UnknownOperationException", "it is not known here"))
            answer: Answer = await otherwise(method, path, headers, body, query)
            return answer
        try:
            result = operation(json.loads(body or b"{}"))
        except ApiError as error:
            return _refusal(error)
        return 200, {"Content-Type": _JSON}, json.dumps(result).encode()

    return service


def _refusal(error: ApiError) -> Answer:
    text = json.dumps({"__type": error.code, "message": error.message})
    return error.status, {"Content-Type": _JSON, "x-amzn-errortype": error.code}, text.encode()


def _send_key(instances: Instances, request: dict[str, Any]) -> dict[str, Any]:
    """SendSSHPublicKey, with the service's own errors (its API reference)."""
    try:
        record = instances.get(request["InstanceId"])
    except ApiError as error:
        raise ApiError("EC2InstanceNotFoundException", error.message) from error
    if record["State"]["Name"] != "running":
        raise ApiError(
            "EC2InstanceStateInvalidException",
            f"Instance {request['InstanceId']} is not in the running state",
        )
    zone = request.get("AvailabilityZone")
    if zone not in (None, record["Placement"]["AvailabilityZone"]):
        raise ApiError("InvalidArgsException", "The availability zone is not the instance's")
    key = request["SSHPublicKey"].strip()
    if not key.startswith(("ssh-", "ecdsa-")) or len(key.splitlines()) != 1:
        raise ApiError("InvalidArgsException", "Invalid SSH public key")
    instances.push_key(record, request["InstanceOSUser"], key)
    return {"RequestId": secrets.token_hex(16), "Success": True}


def _start_session(instances: Instances, request: dict[str, Any]) -> dict[str, Any]:
    """StartSession, for SSH alone: the other documents have no use here."""
    machine, document = request["Target"], request.get("DocumentName", "")
    if document != _SSH_DOCUMENT:
        raise ApiError("InvalidDocument", f"only {_SSH_DOCUMENT} is known here, not {document}")
    if not _is_online(instances, machine):
        raise ApiError("TargetNotConnected", f"{machine} is not connected.")
    port = instances.open_port(machine, int(request["Parameters"]["portNumber"][0]))
    return {
        "SessionId": f"localaws-{secrets.token_hex(8)}",
        "TokenValue": secrets.token_hex(16),
        "StreamUrl": f"tcp://127.0.0.1:{port}",
    }


def _managed(instances: Instances, request: dict[str, Any]) -> dict[str, Any]:
    """DescribeInstanceInformation; the agent is as far as the SSH server is."""
    filters = request.get("Filters", [])
    names = [name for row in filters if row["Key"] == "InstanceIds" for name in row["Values"]]
    rows = [name for name in names or instances.names() if _is_online(instances, name)]
    return {
        "InstanceInformationList": [
            {"InstanceId": name, "PingStatus": "Online", "PlatformType": "Linux"} for name in rows
        ]
    }


def _is_online(instances: Instances, instance_id: str) -> bool:
    machines = instances.machines
    return isinstance(machines, BootedMachines) and machines.listens(instance_id, 22)
