"""Every type with several GPUs that a framework runs on: its quota, and what EC2 says of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from gpustation.catalog.gpu_types import GpuType, gpu_types
from gpustation.handlers.responder import RefusedError
from localaws.account.ec2 import catalog
from tests.unit.stubbed_aws import StubbedAws
from tests.unit.test_quota_check import (
    MakeEvent,
    answer_instances,
    answer_requests,
    answer_zones,
    decide,
    instance,
    message,
    properties,
)

FRAMEWORKS = ("mxnet", "pytorch")
SEVERAL = [
    gpu_type
    for gpu_type in gpu_types().values()
    if gpu_type.gpus > 1 and not all(gpu_type.obstacle(each) for each in FRAMEWORKS)
]
FAMILIES = {"L-DB2E81BA": "G", "L-417A185B": "P"}
BUCKETS = {"G": "Running On-Demand G and VT instances", "P": "Running On-Demand P instances"}

each_type = pytest.mark.parametrize("gpu_type", SEVERAL, ids=lambda gpu_type: gpu_type.name)


def given(gpu_type: GpuType, **changes: str) -> dict[str, str]:
    framework = next(name for name in FRAMEWORKS if not gpu_type.obstacle(name))
    return properties(InstanceType=gpu_type.name, Framework=framework, **changes)


def answer(aws: StubbedAws, gpu_type: GpuType, limit: float, *running: dict[str, Any]) -> None:
    family = FAMILIES[gpu_type.quota_code]
    quota = {
        "QuotaCode": gpu_type.quota_code,
        "QuotaName": BUCKETS[family],
        "Value": limit,
        "UsageMetric": {"MetricDimensions": {"Class": f"{family}/OnDemand"}},
    }
    asked = {"ServiceCode": "ec2", "QuotaCode": gpu_type.quota_code}
    aws.answer("service-quotas", "get_service_quota", {"Quota": quota}, asked)
    answer_instances(aws, *running)
    answer_zones(aws)
    answer_requests(aws)


def test_there_are_types_of_2_4_and_8_gpus() -> None:
    assert {gpu_type.gpus for gpu_type in SEVERAL} == {2, 4, 8}
    assert {gpu_type.nvswitch for gpu_type in SEVERAL} == {True, False}


@each_type
def test_the_quota_of_its_own_family_must_have_all_its_vcpus(
    aws: StubbedAws, event: MakeEvent, gpu_type: GpuType
) -> None:
    answer(aws, gpu_type, gpu_type.vcpus)
    text = message(event("Create", given(gpu_type)), aws)
    assert text.startswith(f"{gpu_type.name} needs {gpu_type.vcpus} vCPUs, {gpu_type.vcpus} free")
    assert gpu_type.quota_code in text


@each_type
def test_one_vcpu_too_few_is_refused_with_the_number_to_ask_for(
    aws: StubbedAws, event: MakeEvent, gpu_type: GpuType
) -> None:
    # Somebody else's machine of the same family is in use; one of the other is not counted
    beside = {"G": ("g4dn.xlarge", "p3dn.24xlarge"), "P": ("p4d.24xlarge", "g4dn.xlarge")}
    same, other = beside[FAMILIES[gpu_type.quota_code]]
    used = gpu_types()[same].vcpus
    limit = used + gpu_type.vcpus - 1
    answer(aws, gpu_type, limit, instance(same), instance(other))
    with pytest.raises(RefusedError) as refused:
        decide(event("Create", given(gpu_type)), aws)
    first = str(refused.value).splitlines()[0]
    free = f"{gpu_type.vcpus - 1} free in us-east-1 (limit {limit}, in use {used})"
    assert f"needs {gpu_type.vcpus} vCPUs, {free}" in first
    assert f"--quota-code {gpu_type.quota_code} --desired-value {limit + 1}" in first


@each_type
def test_the_page_has_it_with_its_price(gpu_type: GpuType) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/several-gpus.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("|") and gpu_type.name in line]
    names, gpus, link, vcpus, _, price, runs = (cell.strip() for cell in row.split("|")[1:-1])
    place = names.split(", ").index(gpu_type.name)
    assert gpus.startswith(f"{gpu_type.gpus} x ")
    assert vcpus.split(", ")[place] == str(gpu_type.vcpus)
    usd = gpu_type.usd_per_hour
    assert price.split(", ")[place] == (f"{usd:.2f}" if usd else "Capacity Blocks")
    assert (link == "NVSwitch") == gpu_type.nvswitch
    titles = {"mxnet": "MXNet", "pytorch": "PyTorch"}
    assert runs.split(", ") == [titles[name] for name in FRAMEWORKS if not gpu_type.obstacle(name)]


@each_type
def test_what_the_catalog_says_is_what_ec2_describes(gpu_type: GpuType) -> None:
    assert catalog.gpus(gpu_type.name) == gpu_type.gpus
    assert catalog.vcpus(gpu_type.name) == gpu_type.vcpus
    sizes = catalog.instance_store(gpu_type.name)
    assert 1 <= len(sizes) <= 8
    assert len({*sizes}) == 1, "btrfs stripes disks of one size"
    assert math.isfinite(gpu_type.usd_per_hour or 0)
