"""A package index that fails: what passes is waited for, a wrong file is refused and named.

Only the real pip and uv meet a real index that breaks off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from localaws import LocalAws
from tests.boot.index_proxy import Fault, IndexProxy
from tests.boot.workstation import SUCCESS, Deploy
from tests.support.cdk_cli import Cdk

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.fixture
def index(cloud: LocalAws, nothing_left: None) -> Iterator[IndexProxy]:
    made = IndexProxy()
    cloud.control.machine_environment({"GPUSTATION_RETRY_SECONDS": "120", **made.environment})
    cloud.control.machine_reaches(made.server_port)
    yield made
    made.close()


def test_503_three_times_and_connections_cut_half_way(
    cloud: LocalAws, cdk: Cdk, index: IndexProxy
) -> None:
    # uv tries a download 4 times by itself: 5 faults outlast that, and the phase must try again
    index.faults = [Fault("uv-", "503", 3), Fault("mxnet-", "cut", 5), Fault("numpy-", "503", 5)]
    deploy = Deploy(cloud, cdk, notebooks=False)
    station = deploy.machine()
    assert deploy.end().status == 0
    assert [fault.times for fault in index.faults] == [0, 0, 0]
    assert station.signals() == SUCCESS
    assert station.starts("environment") == 1
    assert re.search(r"gpustation: exited \d; trying again in 5 s", cloud.console(station.box))


def test_wheel_with_another_hash_is_refused_and_named(
    cloud: LocalAws, cdk: Cdk, index: IndexProxy
) -> None:
    index.faults = [Fault("jupyterlab-4", "another", 99)]
    deploy = Deploy(cloud, cdk, rollback=False, notebooks=False)
    station = deploy.machine()
    run = deploy.end()
    assert run.status != 0
    said = " ".join(run.output.split())
    assert "phase environment failed: Hash mismatch for `jupyterlab==4.6.6`" in said
    assert "`jupyterlab==4.6.6`: trying again would not help" in said
    assert station.signals() == [("driver", "SUCCESS"), ("environment", "FAILURE")]
    assert station.starts("environment") == 1
    # uv itself may ask again where an answer is slow; that we do not is in the log
    assert len({*index.spoiled}) == 1
    tries = station.sh("grep -c '+ .*uv pip install' /var/log/gpustation/environment.log")
    assert tries == "1"
