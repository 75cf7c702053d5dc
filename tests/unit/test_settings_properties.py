"""Whatever the context holds, reading it ends in settings or in lines that help."""

import base64
import dataclasses
import ipaddress
import json
import random
import re

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpustation.catalog.gpu_types import gpu_types
from gpustation.console.shown_text import PRIVATE_KEY_MARKS
from gpustation.settings.model import Settings
from gpustation.settings.read import SettingsReport, read_settings

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N"

# A busy machine is slow, and no value is wrong for that
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

HOSTILE = st.sampled_from(
    [
        "{{resolve:ssm:/prod/password}}",
        "{{resolve:secretsmanager:prod}}",
        "{{ phase.step.outputs }}",
        "${Token[TOKEN.99999]}",
        "#{Token[TOKEN.99999]}",
        "${AWS::AccountId}",
        "${aws:userid}",
        "[ack: a::b::c]",
    ]
)
TEXTS = st.text(max_size=40) | st.tuples(st.text(max_size=5), HOSTILE, st.text(max_size=5)).map(
    "".join
)
NUMBERS = st.floats(allow_nan=False) | st.just(-1.8881545897087626e289)  # a token's form as number
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(sorted(Settings.model_fields))


LANGUAGES = ("{{", "${", "#{", "[ack")
"""What CloudFormation, CDK, IAM, Image Builder and CDK's annotations look for in a text."""


def texts_of(value: object) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, dict):
        return texts_of([*value, *value.values()])
    if isinstance(value, (list, tuple)):
        return [text for part in value for text in texts_of(part)]
    return [value] if isinstance(value, str) else []


def assert_answered(context: dict[str, object]) -> SettingsReport:
    """The answer is lines and settings, in which no template language finds anything."""
    report = read_settings(context)
    for line in [*report.faults, *report.warnings.values()]:
        assert line.isprintable()
        assert len(line) < 1500
    for name in report.warnings:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", name)
    shown = texts_of([report.faults, report.warnings, dataclasses.asdict(report.settings)])
    assert not [text for text in shown for mark in LANGUAGES if mark in text]
    return report


@given(st.dictionaries(KEYS | TEXTS, JSON_VALUES, max_size=6))
def test_any_context_is_answered_in_whole_lines(context: dict[str, object]) -> None:
    assert_answered(context)


@given(HOSTILE | st.text(max_size=200))
def test_any_comment_leaves_the_key_whole(comment: str) -> None:
    line = " ".join(comment.split())  # more lines would be more keys
    # Refused as a private key, and drawn: Hypothesis takes texts from the code under test too
    assume(not any(mark in line for mark in PRIVATE_KEY_MARKS))
    report = assert_answered({"public_key": f"{PUBLIC_KEY} {line}"})
    assert report.faults == ()
    assert report.settings.public_key.startswith(PUBLIC_KEY)


@given(st.integers(0, 2**63), st.sampled_from([24, 32, 48, 64]), KEYS)
def test_random_bytes_in_base64_or_hex_are_not_shown(seed: int, size: int, key: str) -> None:
    secret = random.Random(seed).randbytes(size)
    for text in (base64.b64encode(secret).decode(), secret.hex()):
        assume(any(map(str.isdigit, text)))
        report = read_settings({key: text, f"{key}_": text})
        assert text[:12] not in repr((report.faults, report.warnings))


@given(st.lists(st.ip_addresses(v=4), min_size=2, max_size=60, unique=True), st.data())
def test_a_list_with_other_separators_is_offered_whole_with_commas(
    addresses: list[ipaddress.IPv4Address], data: st.DataObject
) -> None:
    separator = data.draw(st.sampled_from([" ", ";", "\n", "; ", "\r\n", "\t"]))
    networks = [f"{address}/32" for address in addresses]
    (fault,) = assert_answered({"ssh_cidr": separator.join(networks)}).faults
    offered = fault.rpartition("did you mean ")[2].rstrip("?")
    assert read_settings({"ssh_cidr": offered}).settings.ssh_cidr == tuple(networks)


@given(st.integers(30, 65536), st.integers(1, 255), st.integers(5, 720), st.booleans())
def test_sound_values_come_back_the_same_in_both_forms(
    disk: int, generation: int, minutes: int, flag: bool
) -> None:
    context = {
        "disk_gib": disk,
        "generation": generation,
        "ready_timeout_minutes": minutes,
        "notebooks": flag,
    }
    as_text = {
        key: json.dumps(value) if isinstance(value, bool) else str(value)
        for key, value in context.items()
    }
    first, second = read_settings(context), read_settings(as_text)
    assert first == second
    assert first.faults == ()


@given(st.ip_addresses(v=4), st.integers(2, 32))
def test_every_ipv4_network_is_taken_in_its_canonical_form(
    address: ipaddress.IPv4Address, prefix: int
) -> None:
    network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
    assert read_settings({"ssh_cidr": str(network)}).settings.ssh_cidr == (str(network),)


@given(st.sampled_from(sorted(gpu_types())), st.data())
def test_one_wrong_letter_in_a_type_is_refused_with_a_suggestion(
    name: str, data: st.DataObject
) -> None:
    index = data.draw(st.integers(4, len(name) - 1))
    misspelt = name[:index] + "q" + name[index + 1 :]
    faults = read_settings({"instance_type": misspelt}).faults
    assert len(faults) == 1
    assert "did you mean" in faults[0] or "take" in faults[0]
