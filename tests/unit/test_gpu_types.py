"""The catalog against an independent source, and its answers."""

import functools
import gzip
import json
import re
from importlib import resources
from pathlib import Path

import pytest

from gpustation.catalog.frameworks import ARCHITECTURES, CUDA, REACH
from gpustation.catalog.gpu_types import (
    RETIRED_FAMILIES,
    capabilities_for,
    gpu_types,
    require_type,
    types_for,
)


@functools.cache
def moto_types() -> dict[str, dict]:
    packed = resources.files("moto.ec2.resources").joinpath("instance_types.json.gz")
    return json.loads(gzip.decompress(packed.read_bytes()))


TYPES = gpu_types()
NVIDIA = [t for t in TYPES.values() if t.driver != "amd"]


def test_has_every_gpu_type_on_sale() -> None:
    assert len(TYPES) == 70
    assert len(NVIDIA) == 65


@pytest.mark.parametrize("name", [t.name for t in NVIDIA])
def test_agrees_with_what_ec2_describes(name: str) -> None:
    mine, theirs = TYPES[name], moto_types()[name]
    assert mine.vcpus == theirs["VCpuInfo"]["DefaultVCpus"]
    architectures = theirs["ProcessorInfo"]["SupportedArchitectures"]
    assert ("arm64" in architectures) == (mine.cpu_architecture == "arm64")
    gpus = theirs["GpuInfo"]["Gpus"]
    assert {gpu["Manufacturer"] for gpu in gpus} == {"NVIDIA"}
    # known bad in EC2's own data: p4de counts its GPUs wrong (SkyPilot works around it too)
    if mine.gpus and not name.startswith("p4de"):
        assert mine.gpus == sum(gpu["Count"] for gpu in gpus)


@pytest.mark.parametrize(
    "name",
    ["g4dn.xlarge", "g5.48xlarge", "g6.xlarge", "gr6.4xlarge", "g6e.xlarge", "p3dn.24xlarge"],
)
def test_mxnet_runs_from_volta_to_ada(name: str) -> None:
    assert TYPES[name].obstacle("mxnet") is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p5.48xlarge", "compute capability 9.0"),
        ("p6-b200.48xlarge", "compute capability 10.0"),
        ("g7e.2xlarge", "compute capability 12.0"),
        ("g5g.xlarge", "ARM"),
        ("g4ad.xlarge", "AMD"),
        ("g6f.xlarge", "fraction"),
        ("gr6f.4xlarge", "fraction"),
    ],
)
def test_mxnet_cannot(name: str, reason: str) -> None:
    assert reason in (TYPES[name].obstacle("mxnet") or "")


def test_pytorch_takes_hopper_and_blackwell_but_not_what_needs_a_later_driver() -> None:
    assert TYPES["p5.48xlarge"].obstacle("pytorch") is None
    assert TYPES["g7e.48xlarge"].obstacle("pytorch") is None
    assert "driver 595" in (TYPES["g7.2xlarge"].obstacle("pytorch") or "")


def test_types_whose_nvswitches_need_a_subnet_manager_are_refused_with_the_reason() -> None:
    found = {t.name: t.obstacle("pytorch") or "" for t in TYPES.values() if t.nvlsm}
    assert list(found) == ["p6-b200.48xlarge", "p6-b300.48xlarge"]
    assert all("nvlsm" in reason and "ib_umad" in reason for reason in found.values())


def test_pytorch_has_no_code_for_volta_any_more() -> None:
    assert "compute capability 7.0" in (TYPES["p3dn.24xlarge"].obstacle("pytorch") or "")


@pytest.mark.parametrize("framework", ["mxnet", "pytorch"])
def test_the_architectures_are_those_read_from_the_pinned_wheel(root: Path, framework: str) -> None:
    found = json.loads((root / f"userdata/locks/{framework}-architectures.json").read_text())
    assert ARCHITECTURES[framework] == tuple(found["architectures"])
    assert found["version"] in REACH[framework]
    assert found["ptx"] == [], "PTX would reach further than the cubins"


@pytest.mark.parametrize("framework", ["mxnet", "pytorch"])
def test_the_cuda_version_is_that_of_the_locks(root: Path, framework: str) -> None:
    lock = (root / f"userdata/locks/{framework}.lock").read_text()
    (version,) = re.findall(r"^nvidia-cuda-runtime(?:-cu11)?==(\S+)", lock, re.M)
    assert version.startswith(f"{CUDA[framework]}.")


@pytest.mark.parametrize(
    ("framework", "driver", "capabilities"),
    [
        ("mxnet", "open", ["7.5", "8.0", "8.6", "8.9"]),
        ("mxnet", "proprietary", ["7.0"]),
        ("pytorch", "open", ["7.5", "8.0", "8.6", "8.9", "9.0", "12.0"]),
    ],
)
def test_an_image_fits_what_its_driver_and_framework_both_drive(
    framework: str, driver: str, capabilities: list[str]
) -> None:
    assert capabilities_for(framework, driver) == capabilities


def test_only_types_behind_nvswitch_need_the_fabric_manager() -> None:
    families = {t.family for t in TYPES.values() if t.nvswitch}
    assert families == {"p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300"}
    assert not TYPES["p5.4xlarge"].nvswitch, "one GPU has no switch to manage"


def test_retired_families_are_not_on_sale_and_have_a_successor_that_is() -> None:
    for family, (_gpu, successor) in RETIRED_FAMILIES.items():
        assert family not in {t.family for t in TYPES.values()}
        assert TYPES[successor].obstacle("mxnet") is None


def test_cheapest_types_come_first_and_those_without_a_price_last() -> None:
    names = [t.name for t in types_for("pytorch")]
    assert names[0] == "g4dn.xlarge"
    assert TYPES[names[-1]].usd_per_hour is None


def test_fails_when_type_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"got m5\.large"):
        require_type("m5.large")
