"""Commands mean the region that the CDK CLI means."""

from __future__ import annotations

import pytest

from gpustation.aws_session import make_session


def test_aws_region_comes_first_as_for_the_cdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert make_session({"AWS_REGION": "us-west-2"}).region_name == "us-west-2"


@pytest.mark.parametrize("environment", [{}, {"AWS_REGION": ""}])
def test_without_it_boto3_decides(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert make_session(environment).region_name == "eu-west-1"
