"""Signals that do not arrive at first: each wait condition still gets exactly one.

Only the agent on a machine tries again over boots.
"""

from __future__ import annotations

from typing import Any

from localaws import LocalAws
from tests.boot.workstation import SUCCESS, Deploy
from tests.support.cdk_cli import Cdk


def test_address_answers_503_twice(cloud: LocalAws, cdk: Cdk, installed: dict[str, Any]) -> None:
    cloud.control.fault("Signal", "throttle", times=2)
    deploy = Deploy(cloud, cdk, **installed)
    station = deploy.machine()
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    assert cloud.console(station.box).count("answered 503") == 2


def test_address_that_never_answers_holds_up_nothing(
    cloud: LocalAws, cdk: Cdk, installed: dict[str, Any]
) -> None:
    cloud.control.machine_environment({"GPUSTATION_RETRY_SECONDS": "1"})
    cloud.control.fault("Signal", "silent")
    deploy = Deploy(cloud, cdk, **installed)
    station = deploy.machine()
    station.await_text("not every signal could be delivered")
    assert station.signals() == []
    assert station.jupyter(station.token()) == 200
    # systemd's next try delivers them
    cloud.control.fault("Signal", None)
    assert deploy.end().status == 0
    assert station.signals() == SUCCESS
    assert [station.starts(phase) for phase in ("jupyter", "verify")] == [1, 1]
