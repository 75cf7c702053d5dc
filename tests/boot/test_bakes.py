"""Bakes one after the other: one that fails, one that has nothing to do, one of other scripts.

Only real builds meet each other's recipes, disks and images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.boot.bakery import Bakery
from tests.boot.workstation import Workstation
from tests.support.cdk_cli import Account, Cdk, delete_stack


@pytest.fixture
def bakery(cloud: LocalAws, nothing_left: None, cdk: Cdk, tmp_path: Path) -> Iterator[Bakery]:
    yield Bakery(cloud, cdk, tmp_path)
    for stack in ("GpuWorkstation", "GpuImage"):  # the machine first, for it uses the image
        delete_stack(cloud, stack)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("image.sh", "check() {", "check() {\n  die 'this image is not good'", "not good"),
        (
            "phases/60-verify-gpu/verify.py",
            "def main() -> int:\n",
            "def main() -> int:\n    sys.exit(7)\n",
            "exited 7",
        ),
    ],
    ids=["validate", "test"],
)
def test_failing_phase_publishes_nothing_and_leaves_nothing(
    bakery: Bakery, file: str, old: str, new: str, said: str
) -> None:
    run = bakery.bake(bakery.changed(file, old, new))
    assert run.status != 0
    assert said in " ".join(run.output.split())
    assert bakery.published() is None
    assert bakery.images() == bakery.snapshots() == []
    assert Account(bakery.aws).instances() == []
    assert bakery.destroy().status == 0
    assert bakery.aws.inventory() == []


def test_only_changed_scripts_build_an_image_and_the_machine_is_left_alone(
    cloud: LocalAws, cdk: Cdk, bakery: Bakery
) -> None:
    assert bakery.bake().status == 0
    (image,) = bakery.images()
    before = cloud.control.history()
    unchanged = bakery.bake()
    assert unchanged.status == 0
    assert "no changes" in unchanged.output
    assert cloud.control.history() == before

    deployed = cdk.deploy(notebooks=False, image="baked")
    assert deployed.outputs["ImageId"] == image
    station = Workstation(cloud, deployed.outputs["InstanceId"])
    boot = station.boot_id()
    changed = bakery.changed("run.sh", "#!/usr/bin/env bash", "#!/usr/bin/env bash\n#")
    assert bakery.bake(changed).status == 0
    (newer,) = bakery.images()
    assert newer != image
    assert bakery.published() == newer
    assert len(bakery.snapshots()) == 1
    assert station.boot_id() == boot
    again = cdk.deploy(notebooks=False, image="baked")
    assert again.status == 0
    assert again.outputs["InstanceId"] == station.box
    assert station.boot_id() == boot
