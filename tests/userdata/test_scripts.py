from __future__ import annotations

import ast

import pytest
from cloud_bench import SIGNATURE, archive_of
from machine_bench import STEPS, STUBS, USERDATA, render_user_data

#: Bytes, before base64: EC2's own limit.
USER_DATA_LIMIT = 16_384


def test_user_data_fits() -> None:
    address = "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com/" + SIGNATURE
    signals = {step: address.ljust(600, "x") for step in STEPS}
    size = len(render_user_data(signals).encode())
    print(f"user data: {size} bytes, {USER_DATA_LIMIT - size} under the limit")
    assert size < USER_DATA_LIMIT


def test_scripts_archive_is_small() -> None:
    assert len(archive_of(USERDATA)) < 2_000_000


def test_agent_is_of_python_3_8() -> None:
    source = (USERDATA / "bootstrap/agent.py").read_text()
    ast.parse(source, feature_version=(3, 8))
    assert source.isascii()


@pytest.mark.parametrize("stub", sorted(path.name for path in STUBS.iterdir()))
def test_every_stub_is_one_file(stub: str) -> None:
    assert (STUBS / stub).resolve() == STUBS / "stub.sh"
