"""The agent's signatures against botocore's own, at a fixed time."""

from __future__ import annotations

import datetime
import importlib.util
from types import ModuleType
from urllib.parse import quote
from urllib.request import Request

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from machine_bench import USERDATA

NOW = datetime.datetime(2026, 11, 23, 12, 34, 56, tzinfo=datetime.timezone.utc)
KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s/e+c=r", "Token": "t/o+k=en=="}


@pytest.fixture(scope="module")
def agent() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agent", USERDATA / "bootstrap/agent.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_botocore(
    kind: type[botocore.auth.SigV4Auth], service: str, request: AWSRequest, region: str
) -> str:
    credentials = Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"])
    kind(credentials, service, region).add_auth(request)
    return str(request.headers["Authorization"])


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = NOW.replace(tzinfo=None)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment)


def by_agent(agent: ModuleType, request: Request, region: str, service: str) -> str:
    agent.sign(request, region, service, KEYS, NOW.strftime("%Y%m%dT%H%M%SZ"))
    return str(request.get_header("Authorization"))


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_parameter_request_is_signed_as_botocore_signs_it(agent: ModuleType, region: str) -> None:
    url = f"https://ssm.{region}.amazonaws.com/"
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonSSM.GetParameter",
    }
    body = b'{"Name": "/gpustation/settings"}'
    theirs = AWSRequest("POST", url, headers=dict(headers), data=body)
    ours = by_agent(agent, Request(url, body, headers, method="POST"), region, "ssm")
    assert ours == by_botocore(botocore.auth.SigV4Auth, "ssm", theirs, region)


@pytest.mark.parametrize("key", ["0123.tar", "a b+c(d)~e/f.tar", "ümläut&=?#%.tar", "a//b..c"])
def test_object_request_is_signed_as_botocore_signs_it(agent: ModuleType, key: str) -> None:
    url = "https://assets.s3.eu-west-1.amazonaws.com/" + quote(key, safe="/-_.~")
    theirs = AWSRequest("GET", url)
    ours = by_agent(agent, Request(url), "eu-west-1", "s3")
    assert ours == by_botocore(botocore.auth.S3SigV4Auth, "s3", theirs, "eu-west-1")
