"""What an acceptance run does before it deletes a stack again whose deletion has failed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest

from acceptance import clean_up
from tests.unit.stubbed_aws import LONG_AGO, STACK_ID, StubbedAws


@pytest.mark.parametrize("machine", ["i-2", ""])
def test_ends_the_spot_request_and_its_machine_and_leaves_out_the_custom_resource(
    machine: str,
) -> None:
    aws = StubbedAws()
    asked = {"Filters": ANY}
    requests = {"SpotInstanceRequests": [{"SpotInstanceRequestId": "sir-1", "InstanceId": machine}]}
    states = ["active", "disabled", "open", "cancelled", "closed"]
    tag = {"Name": "tag:gpustation:spot-of", "Values": [STACK_ID]}
    every = {"Filters": [{"Name": "state", "Values": states}, tag]}
    aws.answer("ec2", "describe_spot_instance_requests", requests, every)
    aws.answer("ec2", "describe_spot_instance_requests", requests, asked)
    cancelled = {"SpotInstanceRequestIds": ["sir-1"]}
    aws.answer("ec2", "cancel_spot_instance_requests", {}, cancelled)
    aws.answer("ec2", "describe_spot_instance_requests", {"SpotInstanceRequests": []}, asked)
    if machine:
        aws.answer("ec2", "terminate_instances", {}, {"InstanceIds": [machine]})
        gone = {"Instances": [{"InstanceId": machine, "State": {"Name": "terminated"}}]}
        aws.answer(
            "ec2", "describe_instances", {"Reservations": [gone]}, {"InstanceIds": [machine]}
        )
    listed = [
        _row("Request", "Custom::SpotRequest", "DELETE_FAILED"),
        _row("Check", "Custom::QuotaCheck", "DELETE_COMPLETE"),
        _row("Subnet", "AWS::EC2::Subnet", "DELETE_FAILED"),
    ]
    aws.answer("cloudformation", "list_stack_resources", {"StackResourceSummaries": listed})
    session: Any = SimpleNamespace(client=aws.clients.__getitem__)
    assert clean_up._end_what_failed(session, STACK_ID) == ["Request"]
    aws.assert_all_asked()


def _row(name: str, kind: str, status: str) -> dict[str, Any]:
    return {
        **{"LogicalResourceId": name, "ResourceType": kind, "ResourceStatus": status},
        "LastUpdatedTimestamp": LONG_AGO,
    }
