"""Each example synthesizes, and the built wheel works outside of this repository."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk.assertions import Template

from gpustation import GpuWorkstation
from tests.support.template_graph import TemplateGraph

ROOT = Path(__file__).parents[2]
MACHINES = {"workstation": 1, "own_network": 2, "quota_check": 1}
BUILT = ("constructs", "userdata", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def machines_in(assembly: Path) -> int:
    """Number of instances in the assembly's only template."""
    (template,) = assembly.glob("*.template.json")
    return len(TemplateGraph(json.loads(template.read_text())).of_type("AWS::EC2::Instance"))


@pytest.mark.tier("test")
@pytest.mark.parametrize("example", MACHINES)
def test_example_synthesizes(example: str, tmp_path: Path) -> None:
    """As the CDK CLI runs it: jsii's process, which is shared here, knows no other folder."""
    outside = {"CDK_OUTDIR": str(tmp_path), "CDK_VALIDATION": "false"}
    script = ROOT / f"examples/{example}.py"
    subprocess.run([sys.executable, script], check=True, env=os.environ | outside)
    assert machines_in(tmp_path) == MACHINES[example]


def test_every_example_is_tried() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(MACHINES)


@pytest.mark.tier("test")
def test_the_wheel_works_outside_of_the_repository(tmp_path: Path) -> None:
    """A built wheel alone tells what is missing in it."""
    source = tmp_path / "source"
    source.mkdir()
    for name in BUILT:
        path = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=ignored)
        else:
            shutil.copy(path, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    wheel = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(wheel, check=True, cwd=tmp_path)
    (built,) = tmp_path.glob("*.whl")
    held = zipfile.ZipFile(built).namelist()
    assert "gpustation/userdata/run.sh" in held
    assert "gpustation/catalog/gpu_types.csv" in held
    assert not [name for name in held if "__pycache__" in name]
    venv.create(tmp_path / "env")
    python = tmp_path / "env/bin/python"
    packages = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    install = [*pip, "install", "-q", "--no-deps", "--target", packages, built]
    subprocess.run(install, check=True, cwd=tmp_path)
    # What it depends on, and not the library of this checkout, which a .pth file there names
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    app = shutil.copy(ROOT / "examples/workstation.py", tmp_path / "app.py")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**plain, "CDK_OUTDIR": str(tmp_path / "out"), "CDK_VALIDATION": "false"}
    subprocess.run([python, app], check=True, cwd=tmp_path, env=environment)
    assert machines_in(tmp_path / "out") == 1
    shown = subprocess.check_output(
        [python, "-c", "import gpustation; print(gpustation.__file__)"], text=True, env=plain
    )
    assert shown.startswith(str(packages))


@pytest.fixture
def stack() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Theirs")


def own(stack: Stack, zone: str = "us-east-1a") -> tuple[ec2.IVpc, ec2.ISubnet]:
    vpc = ec2.Vpc.from_vpc_attributes(stack, "Vpc", vpc_id="vpc-1", availability_zones=[zone])
    subnet = ec2.Subnet.from_subnet_attributes(
        stack, "Subnet", subnet_id="subnet-1", availability_zone=zone
    )
    return vpc, subnet


def test_half_a_network_is_refused(stack: Stack) -> None:
    vpc, subnet = own(stack)
    group = ec2.SecurityGroup(stack, "Group", vpc=vpc)
    with pytest.raises(ValueError, match="vpc and subnet together"):
        GpuWorkstation(stack, "A", vpc=vpc)
    with pytest.raises(ValueError, match="only with the vpc"):
        GpuWorkstation(stack, "B", security_group=group)
    with pytest.raises(ValueError, match="not both"):
        GpuWorkstation(
            stack,
            "C",
            vpc=vpc,
            subnet=subnet,
            security_group=group,
            ssh_cidrs=["203.0.113.7/32"],
        )


def test_a_subnet_in_an_unknown_zone_is_refused(stack: Stack) -> None:
    vpc, subnet = own(stack, stack.availability_zones[0])
    with pytest.raises(ValueError, match="zone whose name is known at synth"):
        GpuWorkstation(stack, "A", vpc=vpc, subnet=subnet)


def test_the_zone_of_their_subnet_is_the_only_one(stack: Stack) -> None:
    vpc, subnet = own(stack)
    GpuWorkstation(stack, "A", vpc=vpc, subnet=subnet, availability_zone="auto")
    (choice,) = Template.from_stack(stack).find_resources("Custom::ImageChoice").values()
    assert choice["Properties"]["AvailabilityZone"] == "us-east-1a"
