"""``cdk synth`` as a newcomer runs it: no credentials, no region, no network.

Only processes of their own have no network, another hash seed or another locale.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cdk_cli import CDK
from tests.support.synthesis import ROOT

CAN_UNSHARE = (
    sys.platform == "linux"
    and subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "true"],
        capture_output=True,
        check=False,
    ).returncode
    == 0
    if shutil.which("unshare")
    else False
)
NO_CACHE = {"JSII_RUNTIME_PACKAGE_CACHE": "disabled"} if CAN_UNSHARE and os.geteuid() else {}
"""In a namespace of an ordinary user all that is root's is nobody's, even /tmp, and jsii does not
trust a cache below it."""
ALONE = ["unshare", "--user", "--map-root-user", "--net"] if CAN_UNSHARE else []


def run(home: Path, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs with nothing in the environment, and without a network where that can be."""
    home.mkdir(exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*ALONE, *command],
        cwd=ROOT,
        env={"PATH": path, "HOME": str(home)} | NO_CACHE | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def synth(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(home, CDK, "synth", "--output", str(home / "out"), *arguments, **environment)


def test_bare_commands_mean_the_workstation(tmp_path: Path) -> None:
    """With two stacks at the top they would be refused, and ask which one is meant.

    With the built-in validation, which all other tests leave out, and without the deploy role's
    repository, which is the deploy role's own business.
    """
    bare = synth(tmp_path / "home")
    assert bare.returncode == 0, bare.stderr
    assert "Type: AWS::EC2::Instance\n" in bare.stdout
    assert "AWS::ImageBuilder" not in bare.stdout
    assert "github" not in bare.stderr


@pytest.mark.tier("all")
def test_twice_gives_the_same_bytes_whatever_the_machine(tmp_path: Path) -> None:
    """The app alone, in processes of their own: another hash seed needs another process."""
    context = json.dumps(json.loads((ROOT / "cdk.json").read_text())["context"])
    made = {}
    for home, elsewhere in {
        tmp_path / "one": {},
        tmp_path / "another-place": {
            "PYTHONHASHSEED": "7",
            "TZ": "Asia/Tokyo",
            "LC_ALL": "C",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        },
    }.items():
        told = {"CDK_OUTDIR": str(home / "out"), "CDK_CONTEXT_JSON": context}
        done = run(home, sys.executable, "app.py", CDK_VALIDATION="false", **told, **elsewhere)
        assert done.returncode == 0, done.stderr
        files = [path for path in (home / "out").rglob("*") if path.is_file()]
        made[home] = {str(path.relative_to(home)): path.read_bytes() for path in files}
    first, second = made.values()
    assert any(name.endswith("GpuWorkstation.template.json") for name in first)
    assert first == second


@pytest.mark.tier("all")
def test_the_others_have_plain_names_in_their_stages(tmp_path: Path) -> None:
    listed = run(tmp_path, CDK, "list", "--output", str(tmp_path / "out"), CDK_VALIDATION="false")
    assert listed.stdout.splitlines() == [
        "GpuWorkstation",
        "Image/GpuImage (GpuImage)",
        "Ci/GpuDeployRole (GpuDeployRole)",
        "Ci/GpuAcceptanceRole (GpuAcceptanceRole)",
    ]


@pytest.mark.tier("all")
def test_the_role_asks_for_its_repository(tmp_path: Path) -> None:
    asked = synth(tmp_path / "home", "Ci/GpuDeployRole", CDK_VALIDATION="false")
    assert asked.returncode != 0
    assert asked.stderr.count("ERROR") == 1
    assert "pass -c github_repository=owner/name" in asked.stderr


SECRET = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"


def test_fails_with_one_line_for_each_fault(tmp_path: Path) -> None:
    """The lines themselves: tests/unit/test_settings.py; here, that the CLI prints these alone."""
    wrong = {
        "instance_type": "p2.xlarge",
        "disk_gib": "8",
        "ssh_cidr": "0.0.0.0/0",
        "quota_": "warn",
        "public_key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}",
    }
    context = [word for key, value in wrong.items() for word in ("-c", f"{key}={value}")]
    refused = synth(tmp_path / "home", *context, CDK_VALIDATION="false")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert refused.stderr.count("ERROR") == len(wrong)
    for line in ("instance_type=p2.xlarge: ", "disk_gib=8: ", "ssh_cidr=0.0.0.0/0: "):
        assert line in refused.stderr
    assert "did you mean quota?" in refused.stderr
    assert "public_key: " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert SECRET not in refused.stderr
