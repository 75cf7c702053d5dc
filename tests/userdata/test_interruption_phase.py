"""The phase that installs the watch, and what the machine's own command says of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from interruption_bench import Service, Spot, turn
from machine_bench import USERDATA, Machine

UNIT = "etc/systemd/system/gpustation-interruption.service"
STARTED = "systemctl restart gpustation-interruption.service"


def test_a_spot_machine_gets_the_watch(finished: Machine) -> None:
    finished.cloud.settings["spot"] = True
    finished.boot()
    unit = finished.read(UNIT)
    assert f"{finished.root}/opt/gpustation/scripts/phases/13-watch-interruption watch" in unit
    assert "@" not in unit
    assert STARTED in finished.calls("systemctl")
    assert (finished.root / "etc/gpustation/on-interruption.d").is_dir()


def test_a_machine_that_may_be_one_gets_it_too(finished: Machine) -> None:
    """The stack decides at its creation what the machine is; without a notice the watch is idle."""
    finished.cloud.settings["spot"] = "prefer"
    finished.boot()
    assert STARTED in finished.calls("systemctl")


@pytest.mark.parametrize("setting", [False, None], ids=["off", "an-earlier-stack"])
def test_any_other_machine_has_none_of_it(finished: Machine, setting: bool | None) -> None:
    finished.cloud.settings["spot"] = True
    finished.boot()
    finished.forget_calls()
    (finished.state / "interruption.json").write_text("{}")
    (finished.root / "etc/gpustation/on-interruption.d/save").write_text("#!/bin/sh\n")
    del finished.cloud.settings["spot"]
    if setting is not None:
        finished.cloud.settings["spot"] = setting
    finished.boot()
    assert not (finished.root / UNIT).exists()
    assert not (finished.state / "interruption.json").exists()
    removed = "systemctl disable --quiet --now gpustation-interruption.service"
    assert removed in finished.calls("systemctl")
    assert (finished.root / "etc/gpustation/on-interruption.d/save").exists(), "it is the person's"
    finished.forget_calls()
    finished.boot()
    assert not [call for call in finished.calls("systemctl") if "interruption" in call]


def test_a_watch_that_does_not_start_is_a_warning(finished: Machine) -> None:
    finished.cloud.settings["spot"] = True
    faults = {"systemctl": {"exit": 1, "when": "restart gpustation-interruption", "stderr": "no"}}
    output = finished.boot(faults=faults)
    assert "the set-up is complete" in output
    warning = (finished.state / "warnings/interruption").read_text()
    assert "nothing runs the hooks when EC2 interrupts this spot machine" in warning


def test_the_unit_of_a_training_runs_as_the_person(first_boot: Machine) -> None:
    unit = first_boot.read("etc/systemd/system/gpustation-training@.service")
    home = f"{first_boot.root}/home/ubuntu"
    assert "\nUser=ubuntu\n" in unit
    assert f"\nExecStart={home}/.local/share/gpustation/env/bin/python -u {home}/%i.py\n" in unit
    assert "\nWantedBy=cloud-init.target\n" in unit


def test_the_example_is_in_the_home_folder_and_only_placed_there_once(finished: Machine) -> None:
    example = finished.root / "home/ubuntu/resumable-mxnet.py"
    assert example.read_text() == (USERDATA / "notebooks/resumable-mxnet.py").read_text()
    example.unlink()
    finished.boot()
    assert not example.exists()


def status(spot: Spot) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-I", USERDATA / "idle", "status"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout, done.returncode


def test_the_machines_command_says_nothing_of_spot_elsewhere(spot: Spot) -> None:
    shown, code = status(spot)
    assert "spot" not in shown
    assert code == 0


def test_the_machines_command_shows_watch_notice_and_past(
    spot: Spot, service: Service, machine_code: Any
) -> None:
    spot.hook("save", "true")
    if os.geteuid() != 0:
        pytest.skip("its hooks are root's only where root runs the tests")
    spot.hook("plain", "true", 0o644)
    watcher = machine_code.watcher.Watcher(machine_code.notice.Metadata())
    turn(watcher)
    shown, code = status(spot)
    assert re.search(r"^spot {8}no notice of EC2 to interrupt it, \d+ s ago$", shown, re.MULTILINE)
    assert f"hooks       1 in {spot.hooks}\n" in shown
    assert "warning     hook plain would not run: it is not executable\n" in shown
    assert code == 0

    (spot.hooks / "plain").unlink()
    at = service.announce(120)
    turn(watcher)
    assert f"spot        EC2 announced to stop it at {at}\n" in status(spot)[0]

    service.item = None
    spot.boot("second")
    watcher = machine_code.watcher.Watcher(machine_code.notice.Metadata())
    watcher.begin()
    service.answers = [500]
    turn(watcher)
    shown, code = status(spot)
    assert "last time   EC2 interrupted this spot machine at 20" in shown
    assert "hooks: 1 ok\n" in shown
    assert "warning     the metadata service: it answered 500" in shown


def test_the_machines_command_notices_a_watch_that_ended(spot: Spot) -> None:
    look = {"at": int(time.time()) - 200, "fault": ""}
    spot.put("run/gpustation/interruption-look.json", json.dumps(look))
    shown, code = status(spot)
    assert "nothing has looked for 3 min: systemctl status gpustation-interruption" in shown
    assert code == 1


def test_the_machines_command_survives_a_damaged_record(spot: Spot) -> None:
    spot.put("var/lib/gpustation/interruption.json", '{"started_again_at": 5}')
    assert "is damaged" in status(spot)[0]
