"""``cdk synth`` as a newcomer runs it: no credentials, no region, no network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.cdk_cli import CDK
from tests.synthesis import ROOT

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


def synth(output: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Synthesizes with nothing in the environment, and without a network where that can be."""
    alone = ["unshare", "--user", "--map-root-user", "--net"] if CAN_UNSHARE else []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*alone, str(CDK), "synth", "--output", str(output), *arguments],
        cwd=ROOT,
        env={"PATH": path, "HOME": str(output.parent)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_twice_gives_the_same_bytes_whatever_the_machine(tmp_path: Path) -> None:
    first = synth(tmp_path / "one" / "out")
    second = synth(
        tmp_path / "another-place" / "out",
        PYTHONHASHSEED="7",
        TZ="Asia/Tokyo",
        LC_ALL="C",
        AWS_REGION="eu-west-1",
    )
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout
    for name in ("GpuWorkstation.template.json", "GpuWorkstation.assets.json"):
        one, other = tmp_path / "one" / "out" / name, tmp_path / "another-place" / "out" / name
        assert one.read_bytes() == other.read_bytes()


def test_bare_commands_mean_the_workstation(tmp_path: Path) -> None:
    """With two stacks at the top they would be refused, and ask which one is meant."""
    bare = synth(tmp_path / "home" / "out", CDK_VALIDATION="false")
    assert bare.returncode == 0, bare.stderr
    assert "Type: AWS::EC2::Instance\n" in bare.stdout
    assert "AWS::ImageBuilder" not in bare.stdout


def test_the_others_have_plain_names_in_their_stages(tmp_path: Path) -> None:
    listed = subprocess.run(
        [str(CDK), "list", "--output", str(tmp_path / "out")],
        cwd=ROOT,
        env=os.environ | {"CDK_VALIDATION": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.splitlines() == [
        "GpuWorkstation",
        "Image/GpuImage (GpuImage)",
        "Ci/GpuDeployRole (GpuDeployRole)",
    ]


def test_the_role_asks_for_its_repository_and_disturbs_nobody(tmp_path: Path) -> None:
    asked = synth(tmp_path / "asked" / "out", "Ci/GpuDeployRole", CDK_VALIDATION="false")
    assert asked.returncode != 0
    assert asked.stderr.count("ERROR") == 1
    assert "pass -c github_repository=owner/name" in asked.stderr
    for number, stack in enumerate(("GpuWorkstation", "Image/GpuImage")):
        other = synth(tmp_path / str(number) / "out", stack, CDK_VALIDATION="false")
        assert other.returncode == 0, other.stderr
        assert "github" not in other.stderr
    given = synth(
        tmp_path / "given" / "out",
        "Ci/GpuDeployRole",
        *("-c", "github_repository=octo-org/octo-repo"),
        CDK_VALIDATION="false",
    )
    assert given.returncode == 0, given.stderr


SECRET = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["instance_type=p2.xlarge", "disk_gib=8", "ssh_cidr=0.0.0.0/0"],
            ["instance_type=p2.xlarge: ", "disk_gib=8: ", "ssh_cidr=0.0.0.0/0: "],
        ),
        (["instance_type=p5.48xlarge"], ["instance_type=p5.48xlarge: not with framework=mxnet"]),
        (["instnace_type=g5.xlarge"], ["did you mean instance_type?"]),
        ([f"public_key=-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}"], ["public_key: "]),
    ],
)
def test_fails_with_one_line_for_each_fault(
    tmp_path: Path, arguments: list[str], lines: list[str]
) -> None:
    context = [part for argument in arguments for part in ("-c", argument)]
    refused = synth(tmp_path / "home" / "out", *context, CDK_VALIDATION="false")
    assert refused.returncode != 0
    assert refused.stdout == ""
    assert refused.stderr.count("ERROR") == len(lines)
    for line in lines:
        assert line in refused.stderr
    assert "Traceback" not in refused.stderr
    assert SECRET not in refused.stderr
