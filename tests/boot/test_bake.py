"""An image that was built and tested on booted machines, and the machines that start from it.

Only a disk that was installed, cleaned and started elsewhere shows what is still on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from tests.boot.bakery import Bakery
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import STACK, Account, Cdk, delete_stack

LOGS = "/aws/imagebuilder/GpuImage/gpuimage-mxnet/"
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/]{40}")
SECRETS = ("ssh_host_", "authorized_keys", "jupyter-token", "_history", "bootstrap.json")


@pytest.fixture(scope="module")
def bakery(cloud: LocalAws, cdk: Cdk, tmp_path_factory: pytest.TempPathFactory) -> Bakery:
    return Bakery(cloud, cdk, tmp_path_factory.mktemp("bakery"))


@pytest.fixture(scope="module")
def image(cloud: LocalAws, cdk: Cdk, bakery: Bakery) -> Iterator[str]:
    run = bakery.bake()
    assert run.status == 0
    (made,) = bakery.images()
    assert bakery.published() == made
    assert Account(cloud).instances() == [], "the machines of build and test are gone"
    yield made
    delete_stack(cloud, STACK)
    delete_stack(cloud, "GpuImage")
    assert cloud.inventory() == []


@pytest.fixture(scope="module")
def station(cloud: LocalAws, cdk: Cdk, image: str) -> Workstation:
    run = cdk.deploy(notebooks=False, image="baked")
    assert run.status == 0
    assert run.outputs["ImageId"] == image
    # What the image brought took this machine no time
    ready = run.outputs["Ready"]
    assert "no GPU: computed on the CPU: 1 x CPU ready: MXNet 1.9.1" in ready
    assert "environment" not in ready
    assert "system" not in ready
    return Workstation(cloud, run.outputs["InstanceId"])


def test_bake_was_tested_on_a_fresh_machine_before_it_was_published(
    bakery: Bakery, image: str
) -> None:
    logs = bakery.aws.client("logs").describe_log_groups(logGroupNamePrefix=LOGS)
    (group,) = logs["logGroups"]
    log = "\n".join(bakery.aws.log_lines(group["logGroupName"]))
    assert "the image holds no secrets, identities or logs" in log
    assert "no GPU: computed on the CPU: 1 x CPU ready: MXNet 1.9.1" in log
    assert "nothing of the image was installed again" in log
    shown = bakery.aws.client("ec2").describe_images(ImageIds=[image])["Images"][0]
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert tags["gpustation:framework"] == "mxnet"


def test_baked_root_holds_no_secret(bakery: Bakery, image: str) -> None:
    root = Path(bakery.aws.control.image_root(image))
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "libmxnet.so" for path in files)
    for path in files:
        name = path.relative_to(root).as_posix()
        if "opt/gpustation/env" not in name:
            own = not name.startswith("usr/")  # the distribution's programs have such names too
            assert not (own and any(secret in path.name for secret in SECRETS)), name
            content = path.read_bytes()
            assert b"cfn-signal" not in content, name
            assert not PRIVATE_KEY.search(content), name
    assert (root / "etc/machine-id").read_text() == ""
    assert not (root / "var/lib/gpustation/settings.json").exists()


def test_machine_of_the_image_reads_first_what_computing_loads(station: Workstation) -> None:
    listed = station.sh("cat /var/lib/gpustation/loaded-files").splitlines()
    assert any(path.endswith("/mxnet/libmxnet.so") for path in listed)
    read = "journalctl -u gpustation-warm | grep -q 'files of the framework were read in advance'"
    station.sh(f'timeout 600 bash -c "until {read}; do sleep 0.2; done"')
    assert station.sh("cd / && ls -d $(cat /var/lib/gpustation/loaded-files) | wc -l") == str(
        len(listed)
    )


@pytest.mark.tier("all")
def test_machines_of_one_image_share_nothing(
    cloud: LocalAws, bakery: Bakery, station: Workstation, image: str
) -> None:
    ec2 = cloud.client("ec2")
    asked: dict[str, Any] = {"ImageId": image, "InstanceType": "g4dn.xlarge"}
    asked["SubnetId"] = Account(cloud).instance()["SubnetId"]
    launched = ec2.run_instances(**asked, MinCount=1, MaxCount=1)["Instances"][0]
    other = Workstation(cloud, launched["InstanceId"])
    other.await_booted()
    keys = "cat /etc/ssh/ssh_host_*_key.pub | awk '{print $2}'"
    assert not set(station.sh(keys).split()) & set(other.sh(keys).split())
    ids = [each.sh("cat /etc/machine-id") for each in (station, other)]
    assert len(ids[0]) == 32
    assert ids[0] != ids[1]
    ec2.terminate_instances(InstanceIds=[other.box])
