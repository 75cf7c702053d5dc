"""A machine without a machine: boots the real user data over the stubs of localaws."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud_bench import PARAMETER, REGION, Cloud

from gpustation.synth.stripped_source import strip_python
from gpustation.synth.user_data import render_user_data
from localaws.machines.records import give_home

REPOSITORY = Path(__file__).resolve().parents[2]
USERDATA = REPOSITORY / "userdata"
STUBS = REPOSITORY / "localaws" / "machines" / "stubs"
STEPS = ("driver", "environment", "gpu")
SETTINGS: dict[str, Any] = {
    "stack": "GpuWorkstation",
    "generation": 1,
    "framework": "mxnet",
    "instance_type": "g4dn.xlarge",
    "gpus": 1,
    "driver_kind": "open",
    "driver_branch": "580-server",
    "fabric_manager": False,
    "public_key": "",
    "notebooks": True,
    "cuda_toolkit": False,
}


def user_data(signals: dict[str, str], parameter: str = PARAMETER) -> str:
    """The user data as the stack renders it."""
    named = {f"SIGNAL_{step.upper()}": signals[step] for step in STEPS}
    variables = {"REGION": REGION, "SETTINGS_PARAMETER": parameter, **named}
    return render_user_data(USERDATA / "bootstrap", variables)


@dataclass
class Machine:
    """One disk, booted as often as a test wants."""

    root: Path
    cloud: Cloud
    #: Tells the signal addresses of one machine from those of another.
    suffix: str = ""
    output: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    #: Signal addresses other than the cloud's, by step.
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.root / "var/lib/gpustation"

    def boot(self, faults: dict[str, dict[str, Any]] | None = None) -> str:
        """Run the user data as cloud-init does at every boot; returns what was printed."""
        give_home(self.root)
        signals = {step: self.cloud.signal_address(step) + self.suffix for step in STEPS}
        signals.update(self.addresses)
        script = self.root / "user-data"
        script.write_text(user_data(signals).partition("\n")[2])
        done = subprocess.run(
            ["bash", script],
            env=self._environment(faults or {}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, self.output
        return self.output

    def _environment(self, faults: dict[str, dict[str, Any]]) -> dict[str, str]:
        return {
            # The plain interpreter starts faster than a virtual environment's.
            "PATH": f"{STUBS}:{sys.base_prefix}/bin:{os.environ['PATH']}",
            "HOME": str(self.root),
            "GPUSTATION_ROOT": str(self.root),
            "GPUSTATION_RETRY_SECONDS": "0",
            "AWS_ENDPOINT_URL": self.cloud.address,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.cloud.address,
            "LOCALAWS_FAULTS": json.dumps(faults),
            **self.environment,
        }

    def run_agent(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run the agent alone, as it travels, with bootstrap.json as the bootstrap writes it."""
        signals = {step: self.cloud.signal_address(step) for step in STEPS}
        known = {"region": REGION, "settings_parameter": PARAMETER, "signals": signals}
        path = self.root / "etc/gpustation/bootstrap.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
        agent = self.root / "opt/gpustation/agent.py"
        agent.parent.mkdir(parents=True, exist_ok=True)
        agent.write_text(strip_python((USERDATA / "bootstrap/agent.py").read_text()))
        return subprocess.run(
            [sys.executable, "-I", agent, *command],
            env=self._environment({}),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
            check=False,
        )

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def calls(self, command: str = "") -> list[str]:
        """The calls of stubbed commands since the last `forget_calls`."""
        log = self.root / "var/log/stub-calls.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if shlex.split(line)[0] == command or not command]

    def forget_calls(self) -> None:
        (self.root / "var/log/stub-calls.log").unlink()
