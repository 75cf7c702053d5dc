"""An acceptance run on machines that boot: what answers on them, and what fails there.

Only a booted machine has a shell, a Jupyter and an idle stop. It starts from a disk that was set up
before; the set-up from the stock image, a bake and the other framework are in
test_acceptance_whole.py.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance import performance, program
from acceptance.local import IDLE_TIMES, PLUGIN
from acceptance.parts.table import Part
from acceptance.run import Evidence, Run
from acceptance.world import World, environment
from localaws import LocalAws
from localaws.account.ec2.visitors import VISITOR
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import delete_stack

LIMIT = 2.0


@dataclasses.dataclass
class Account:
    """An account in which runs start from a finished disk."""

    aws: LocalAws
    folder: Path
    settings: dict[str, Any]
    said: list[str] = dataclasses.field(default_factory=list)

    def perform(self, *names: str, broken: Callable[[Workstation], None] | None = None) -> int:
        """Run these parts; the last one on a machine that was broken before."""
        parts = program.parts_of(quick=False, only=list(names), without=[])
        if broken is not None:
            (last,) = (part for part in parts if part.name == names[-1])
            parts = tuple(self._broken(one, broken) if one is last else one for one in parts)
        path = f"{PLUGIN}{os.pathsep}{os.environ['PATH']}"
        world = World(
            region=self.aws.region,
            environment=environment(self.aws.environment | {"PATH": path}, self.aws.region),
            clock=self.aws.control.clock,
            visitor=VISITOR,
            hooks={"idle-stop": self._shorten},
        )
        given = tuple((name, str(value).lower()) for name, value in self.settings.items())
        options = performance.Options(
            "g4dn.xlarge", "mxnet", LIMIT, parts, logs=self.folder / "logs", settings=given
        )
        status = program.perform(options, world, self.said.append, lambda _: True)
        print(*self.said, sep="\n")
        return status

    def _broken(self, part: Part, broken: Callable[[Workstation], None]) -> Part:
        def work(run: Run) -> Evidence:
            broken(Workstation(self.aws, run.status()["machine"]["instance_id"]))
            return part.work(run)

        return dataclasses.replace(part, work=work)

    def _shorten(self, instance_id: str) -> None:
        script = f"echo '{IDLE_TIMES}' >/etc/gpustation/idle-times.json"
        Workstation(self.aws, instance_id).sh(script)

    @property
    def evidence(self) -> dict[str, Any]:
        (path,) = (self.folder / "logs").glob("20*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def account(
    cloud: LocalAws, installed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for name, value in cloud.exports.items():
        monkeypatch.setenv(name, value)
    yield Account(cloud, tmp_path, installed)
    left = cloud.inventory()
    for item in left:
        if item.kind == "stack":
            delete_stack(cloud, item.id)  # else the tests after this one fail, too
    assert left == []


def test_the_machine_is_used_in_every_way_and_stops_by_itself(account: Account) -> None:
    names = ("compute", "reach", "packages", "power", "idle-stop")
    assert account.perform(*names) == 0
    evidence = account.evidence
    assert (evidence["where"], evidence["machine"]) == ("embedded", "booted")
    parts = {row["part"]: row for row in evidence["parts"]}
    assert {row["verdict"] for row in parts.values()} == {"shown"}
    assert "computed 1073741824 on cpu" in parts["compute"]["evidence"]["computed"]
    assert parts["reach"]["evidence"]["JupyterLab"] == 200
    assert parts["reach"]["evidence"]["without the token"] == 403
    assert "nothing moved" in parts["idle-stop"]["evidence"]["reason"]
    assert "no GPU: computed on the CPU" in parts["deploy"]["evidence"]["ready"]


def no_environment(station: Workstation) -> None:
    station.sh("mv /home/ubuntu/.local/share/gpustation/env /opt/gpustation/env /root/")


def no_jupyter(station: Workstation) -> None:
    unit = "gpustation-jupyter.service"
    station.sh(
        f"systemctl stop {unit}; mv /etc/systemd/system/{unit} /root/; systemctl mask {unit}"
    )


def no_index(station: Workstation) -> None:
    station.sh("printf '[global]\\nindex-url = http://127.0.0.1:9\\nretries = 0\\n' >/etc/pip.conf")


@pytest.mark.parametrize(
    ("part", "broken"),
    [("compute", no_environment), ("reach", no_jupyter), ("packages", no_index)],
)
def test_what_fails_on_the_machine_is_told_and_everything_is_deleted(
    account: Account, part: str, broken: Callable[[Workstation], None]
) -> None:
    assert account.perform(part, broken=broken) == 1
    text = "\n".join(account.said)
    assert f"FAILED  {part}: " in text and "Everything that the run made is deleted" in text
    logs = account.folder / "logs"
    assert any(path.read_text() for path in logs.glob("console-*.txt"))
    assert any("phase" in path.read_text() for path in logs.glob("*-log.out"))
