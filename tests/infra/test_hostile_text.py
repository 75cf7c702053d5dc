"""No text of others reaches a template language, and none of it ends synth.

Units: test_settings_properties.py shows what read_settings answers, this what CDK makes of it.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk.assertions import Annotations, Match

from gpustation.settings.model import Settings
from gpustation.settings.read import LATER_SETTINGS
from gpustation.settings.values import MAX_MIRROR
from tests.support.synthesis import PUBLIC_KEY, machine_settings, make_app, synthesize

CLOUDFORMATION = "{{resolve:ssm:/prod/password}}"
CDK_TEXT = "${Token[TOKEN.99999]}"
CDK_LIST = "#{Token[TOKEN.99999]}"
CDK_NUMBER = -1.8881545897087626e289
ACKNOWLEDGEMENT = "[ack: a::b::c]"
FORMS = {
    "cloudformation": CLOUDFORMATION,
    "cdk, text": CDK_TEXT,
    "cdk, list": [CDK_LIST, CDK_TEXT],
    "cdk, number": CDK_NUMBER,
    "cdk, annotation": ACKNOWLEDGEMENT,
    "object": {CDK_TEXT: [CLOUDFORMATION, {CDK_LIST: CDK_NUMBER}]},
}


@pytest.mark.parametrize("value", FORMS.values(), ids=FORMS)
def test_hostile_values_and_keys_are_refused_and_do_not_end_synth(
    value: Any, tmp_path: Path
) -> None:
    keys = (*Settings.model_fields, *LATER_SETTINGS, "instnace_type")
    others = (CLOUDFORMATION, CDK_TEXT, CDK_LIST, ACKNOWLEDGEMENT)
    make_app(outdir=str(tmp_path), **dict.fromkeys((*keys, *others), value)).synth()
    written = {file.name: file.read_text() for file in tmp_path.rglob("*.json")}
    assert len([name for name in written if name.endswith(".template.json")]) == 4
    for mark in ("{{resolve", "${Token", "#{Token", "[ack: a"):
        assert not [name for name, text in written.items() if mark in text]


@pytest.mark.parametrize("comment", [CLOUDFORMATION, CDK_TEXT])
def test_a_hostile_comment_of_a_key_is_dropped_with_a_warning(comment: str) -> None:
    key = PUBLIC_KEY.rpartition(" ")[0]
    app = make_app(public_key=f"{key} {comment}", with_stages=False)
    stack = app.node.find_child("GpuWorkstation")
    assert isinstance(stack, Stack)
    Annotations.from_stack(stack).has_warning(
        "*",
        Match.string_like_regexp(r"its comment is shortened.*\[ack: gpustation:publicKeyComment\]"),  # type: ignore[arg-type]
    )
    value = machine_settings(synthesize(public_key=f"{key} {comment}"))
    assert key in json.dumps(value)
    assert comment not in json.dumps(value)


def longest(reference: dict[str, Any]) -> str:
    """The longest value of a reference in the settings: of a bucket's name, if not of the price."""
    price = {"UsdPerHour": "113.9328", "PriceOf": "ap-southeast-1 list price of 2026-11-27"}
    _, attribute = reference.get("Fn::GetAtt", ("", ""))
    return price.get(attribute, "x" * 63)


def test_the_longest_key_and_mirror_fit_into_the_settings_parameter() -> None:
    """4,096 characters in a standard parameter (Systems Manager, quotas)."""
    modulus = b"\0" + (1 << 16383 | 1).to_bytes(2048, "big")
    fields = (b"ssh-rsa", b"\1\0\1", modulus)
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    key = f"ssh-rsa {base64.b64encode(blob).decode()} {'x' * 100}"
    told = synthesize(
        public_key=key,
        instance_type="p4d.24xlarge",
        generation=255,
        python_mirror=f"https://{'x' * (MAX_MIRROR - 8)}",
        stop_at="22:00 America/Argentina/ComodRivadavia",  # the longest name of a zone
        stop_at_patience=720,
    )
    parts = machine_settings(told)["Properties"]["Value"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else longest(part) for part in parts)
    assert key in text
    assert len(text) + 128 <= 4096  # a stack's name has at most 128
