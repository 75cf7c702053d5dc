"""Steps of a deploy or a deletion, from CloudFormation's events."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from gpustation.catalog.capacity import says_capacity_is_missing
from gpustation.deploy.live import StepView, line
from gpustation.deploy.steps import Step, failure, steps_of

BEGIN = datetime(2026, 11, 28, 12, 0, 0, tzinfo=timezone.utc)


def event(second: int, resource: str, kind: str, status: str, reason: str = "") -> Any:
    return {
        "EventId": f"{resource}-{status}",
        "Timestamp": BEGIN + timedelta(seconds=second),
        "LogicalResourceId": resource,
        "ResourceType": kind,
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


WAIT = "AWS::CloudFormation::WaitCondition"
EVENTS = [
    event(0, "GpuWorkstation", "AWS::CloudFormation::Stack", "CREATE_IN_PROGRESS"),
    event(1, "QuotaCheck", "Custom::QuotaCheck", "CREATE_IN_PROGRESS"),
    event(1, "Generation1GpuReadyHandle9D68E2BD", f"{WAIT}Handle", "CREATE_IN_PROGRESS"),
    event(2, "NetworkVpc", "AWS::EC2::VPC", "CREATE_IN_PROGRESS"),
    event(4, "QuotaCheck", "Custom::QuotaCheck", "CREATE_COMPLETE"),
    event(9, "NetworkVpc", "AWS::EC2::VPC", "CREATE_COMPLETE"),
    event(10, "Generation1Subnet", "AWS::EC2::Subnet", "CREATE_IN_PROGRESS"),
    event(20, "Generation1DriverReadyAB12CD34", WAIT, "CREATE_IN_PROGRESS"),
]


def states(events: list[Any], **options: Any) -> dict[str, str]:
    return {step.name: step.state for step in steps_of(events, **options)}


def test_a_step_ends_with_its_last_resource() -> None:
    quota, network, driver = steps_of(EVENTS)
    assert (quota.name, quota.state, quota.seconds(BEGIN)) == ("quota", "done", 3)
    assert (network.name, network.state) == ("network", "running")
    assert network.seconds(BEGIN + timedelta(seconds=30)) == 28
    assert driver.name == "driver"


def test_what_an_update_deletes_is_a_step_of_its_own() -> None:
    removed = event(40, "Generation1MachineInstance", "AWS::EC2::Instance", "DELETE_IN_PROGRESS")
    assert states([*EVENTS, removed])["removal of the old"] == "running"
    assert states([removed], deletes=True) == {"machine": "running"}


def test_the_first_failure_is_the_reason_and_not_what_it_canceled() -> None:
    failed = [
        event(30, "Other", "AWS::IAM::Role", "CREATE_FAILED", "Resource creation cancelled"),
        event(30, "Generation1DriverReadyAB12CD34", WAIT, "CREATE_FAILED", "phase 20: no driver"),
        event(31, "GpuWorkstation", "AWS::CloudFormation::Stack", "ROLLBACK_IN_PROGRESS", "x"),
    ]
    assert failure([*EVENTS, *failed]) == "Generation1DriverReadyAB12CD34: phase 20: no driver"
    assert failure(EVENTS) == ""
    driver = next(step for step in steps_of([*EVENTS, *failed]) if step.name == "driver")
    assert (driver.state, driver.reason) == ("failed", "phase 20: no driver")


def test_a_custom_resource_fails_with_its_own_words() -> None:
    """Around them CloudFormation's, as of awslabs/landing-zone-accelerator-on-aws#946 (2025)."""
    reason = (
        "Received response status [FAILED] from custom resource. Message returned: G quota: 0 of 4 "
        "vCPUs (see [docs]) (RequestId: 9de50d57-fd58-4c44-abb0-5cbc354d7273)"
    )
    events = [*EVENTS, event(30, "QuotaCheck", "Custom::QuotaCheck", "CREATE_FAILED", reason)]
    own = "G quota: 0 of 4 vCPUs (see [docs])"
    assert failure(events) == f"QuotaCheck: {own}"
    assert next(step for step in steps_of(events) if step.name == "quota").reason == own


@pytest.mark.parametrize(
    "reason",
    [
        # skyplane-project/skyplane#242, openshift/installer#7088, nib-health-funds/hammertime#29,
        # vrivellino/spoptimize#15, widdix/aws-s3-virusscan#55
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the "
        "instance bucket that the specified instance type belongs to.",
        "We currently do not have sufficient m6a.xlarge capacity in the Availability Zone you "
        "requested (us-east-1d).",
        "Insufficient capacity.",
        "Max spot instance count exceeded",
        "You have requested more instances (1) than your current instance limit of 0 allows",
    ],
)
def test_missing_capacity_is_known_by_its_text_and_by_its_code(reason: str) -> None:
    """The form since about 2023 has no code (aws-samples/aws-cdk-examples#824)."""
    suffix = "(Service: Ec2, Status Code: 500, Request ID: 1) (SDK Attempt Count: 1)"
    assert says_capacity_is_missing(f'Resource handler returned message: "{reason} {suffix}"')
    assert says_capacity_is_missing("(Service: AmazonEC2; Error Code: VcpuLimitExceeded; Proxy: )")
    assert not says_capacity_is_missing(f'"The image id does not exist {suffix}"')


def test_a_line_escapes_what_a_machine_wrote() -> None:
    step = Step("driver", "failed", BEGIN, BEGIN + timedelta(seconds=2), "\x1b[31mred\n[bold]")
    assert line(step) == r"driver: failed after 2 s: \x1b[31mred [bold]"


def test_each_change_of_a_step_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    stages = iter([EVENTS[:2], EVENTS[:2], EVENTS])
    view = StepView(lambda: steps_of(next(stages)), said.append)
    monkeypatch.setattr("gpustation.deploy.live.POLL_SECONDS", 0)
    for _ in range(3):
        view.tick()
    assert said == ["quota: begun", "quota: done after 3 s", "driver: begun"]


def test_many_resources_are_one_line_at_the_end() -> None:
    said: list[str] = []
    view = StepView(lambda: steps_of(EVENTS), said.append)
    view.tick(last=True)
    assert said == ["quota: done after 3 s", "network: begun", "driver: begun"]
