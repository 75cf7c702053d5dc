"""What identifies an account, a person or a machine is refused wherever it is in a file."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptance.redaction import redact, refusals
from gpustation.catalog.gpu_types import gpu_types

HEX = "0123456789abcdef"
URL = string.ascii_letters + string.digits + "-_"
BASE64 = string.ascii_letters + string.digits + "+/"
NUMBER = st.integers(0, 255).map(str)
NAME = st.from_regex(r"[a-z]{3,12}", fullmatch=True).filter(lambda name: name != "ubuntu")


def characters(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=size, max_size=size)


def base64(size: int) -> st.SearchStrategy[str]:
    return characters(BASE64, size).filter(lambda text: text.lower() != text != text.upper())


def formed(form: str, **fields: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.fixed_dictionaries(fields).map(lambda values: form.format(**values))


ACCOUNT = characters(string.digits, 12)
GLUED = {
    "account": ("account id", ACCOUNT),
    "account with dashes": (
        "account id",
        formed(" {a}-{b}-{c} ", **{name: characters(string.digits, 4) for name in "abc"}),
    ),
    "ARN": ("account id", formed("arn:aws:iam::{account}:role/Admin", account=ACCOUNT)),
    "bucket": ("account id", formed("cdk-hnb659fds-assets-{account}-eu-west-1", account=ACCOUNT)),
    "registry": ("account id", formed("{a}.dkr.ecr.eu-west-1.amazonaws.com", a=ACCOUNT)),
    "user": ("in an ARN", formed("arn:aws:iam::<account>:user/{name}", name=NAME)),
    "session": ("in an ARN", formed(":assumed-role/Admin/{name}", name=NAME)),
    "key id": (
        "access key id",
        formed(
            "{kind}{rest}",
            kind=st.sampled_from(["AKIA", "ASIA", "AROA", "AIDA"]),
            rest=characters(string.ascii_uppercase + string.digits, 16),
        ),
    ),
    "secret key": ("secret key", base64(40)),
    "session token": ("session token", base64(300)),
    "fingerprint": ("secret key", formed("SHA256:{hash}", hash=base64(43))),
    "jupyter": ("a token", formed("http://127.0.0.1:8888/?token={t}", t=characters(HEX, 48))),
    "escaped token": ("a token", formed("token%3D{t}", t=characters(HEX, 8))),
    "GitHub": ("a token", formed("ghp_{t}", t=characters(string.ascii_letters, 36))),
    "JWT": ("web token", formed("eyJ{a}.eyJ{b}.{c}", **{c: characters(URL, 20) for c in "abc"})),
    "signature": ("signature", formed("?X-Amz-Signature={s}", s=characters(HEX, 64))),
    "signed": ("signature", formed("&Signature={s}%3D&", s=characters(string.ascii_letters, 27))),
    "private key": (
        "private key",
        formed(
            "-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----",
            kind=st.sampled_from(["", "RSA ", "OPENSSH ", "EC "]),
            body=base64(64),
        ),
    ),
    "public key": (
        "public key",
        formed("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{body} {n}@{n}", body=base64(43), n=NAME),
    ),
    "key without kind": ("public key", formed("AAAAB3NzaC1yc2E{body}", body=base64(200))),
    "password": ("password", formed("https://{name}:{name}@", name=NAME)),
    "EC2": ("host name", formed("ec2-{a}-{b}-{a}-{b}.compute-1.amazonaws.com", a=NUMBER, b=NUMBER)),
    "internal": ("host name", formed("ip-10-{a}-{b}-{a}", a=NUMBER, b=NUMBER)),
    "resource": (
        "id of a resource",
        formed(
            "{kind}-{id}",
            kind=st.sampled_from(["i", "vol", "sg", "subnet", "vpc", "ami", "snap", "eni", "cr"]),
            id=characters(HEX, 17),
        ),
    ),
    "short id": ("id of a resource", formed("subnet-{id}", id=characters(HEX, 8))),
    "Linux home": ("person in a path", formed("/home/{name}/", name=NAME)),
    "Mac home": ("person in a path", formed("/Users/{name}/", name=NAME)),
    "Windows home": ("person in a path", formed("C:\\Users\\{name}\\", name=NAME)),
}
"""Kinds that are found among any other characters."""
APART = {
    "IPv4": ("IPv4", formed("{a}.{b}.{c}.{d}", **dict.fromkeys("bcd", NUMBER), a=NUMBER)),
    "private IPv4": ("IPv4", formed("10.{b}.{c}.{d}", **dict.fromkeys("bcd", NUMBER))),
    "IPv6": ("IPv6", st.ip_addresses(v=6).map(str)),
    "full IPv6": (
        "IPv6",
        st.ip_addresses(v=6)
        .filter(lambda address: int(address) > 1)
        .map(lambda address: address.exploded),
    ),
    "mapped IPv4": ("IPv6", formed("::ffff:{a}.{b}.{a}.{b}", a=NUMBER, b=NUMBER)),
    "IPv4 in IPv6": ("IPv6", formed("2600:1f18:{a}::{b}.0.0.{a}", a=NUMBER, b=NUMBER)),
    "hardware": (
        "hardware",
        formed("02:{a}:{a}:{b}:{b}:{a}", a=characters(HEX, 2), b=characters(HEX, 2)),
    ),
    "e-mail": ("e-mail", formed("{name}@{name}.example", name=NAME)),
    "bare token": ("a token", characters(HEX, 48).filter(lambda text: not text.isdigit())),
    "old instance": ("id of a resource", formed("i-{id}", id=characters(HEX, 8))),
}
"""Kinds that end where a word ends: a longer number or word is something else."""
OF_EVERYBODY = ("0.0.0.0", "127.0.0.1", "169.254.169.254", "::", "::1")
few = settings(max_examples=8, deadline=None)
"""A whole set of examples for each of thirty kinds would take longer than the other unit tests."""
BOUNDARY = st.sampled_from([*" \n\t\"'()[],;=|&", " at ", ", "])
KINDS = [
    *(pytest.param(*row, False, id=name) for name, row in GLUED.items()),
    *(pytest.param(*row, True, id=name) for name, row in APART.items()),
]


PLACES = {
    "text": lambda text: text,
    "list": lambda text: [["x", text]],
    "key": lambda text: {text: 1},
    "deep key": lambda text: {"a": {text: []}},
    "evidence": lambda text: {"parts": [{"part": "deploy", "evidence": {"ready": text}}]},
}


@pytest.mark.parametrize(("kind", "secrets", "apart"), KINDS)
@given(data=st.data())
@few
def test_a_secret_anywhere_is_refused_and_not_repeated(
    kind: str, secrets: st.SearchStrategy[str], apart: bool, data: st.DataObject
) -> None:
    secret = data.draw(secrets.filter(lambda text: text not in OF_EVERYBODY))
    between = BOUNDARY if apart else st.just("")
    text = "".join(
        data.draw(part) for part in (st.text(), between, st.just(secret), between, st.text())
    )
    place = data.draw(st.sampled_from([*PLACES]))
    lines = refusals(json.dumps(PLACES[place](text)))
    assert any(kind in line for line in lines)
    assert not any(secret.strip() in line for line in lines)
    left = redact(text)
    assert secret not in left
    assert refusals(json.dumps({left: left})) == []
    assert redact(left) == left


def test_a_text_that_is_no_json_is_examined_line_by_line() -> None:
    page = "# A page\n\n| account | 123456789012 |\n| address | `10.0.0.1` |\n"
    account, address = refusals(page)
    assert account.startswith("line 3: an account id")
    assert address.startswith("line 4: an IPv4 address")


@given(st.text())
@settings(deadline=None)
def test_what_is_left_of_any_text_may_be_published(text: str) -> None:
    assert refusals(json.dumps([redact(text)])) == []


HARMLESS = st.one_of(
    st.lists(st.integers(0, 999), min_size=2, max_size=3).map(lambda n: ".".join(map(str, n))),
    st.sampled_from(
        [
            "580.126.09",
            "580.126.09-0ubuntu0.24.04.1",
            "6.8.0-1024-aws",
            "mxnet 1.9.1",
            "torch==2.14.1+cu130",
            "user@1000.service",
            "/home/ubuntu/notebooks",
            "http://127.0.0.1:8888/lab",
            "L-DB2E81BA",
            "AWS::EC2::Instance",
            "us-east-1a has room",
            "use1-az1",
            "a0d46c0d31b5",
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20261120",
            "no GPU: computed on the CPU",
        ]
    ),
    st.dates().map(str),
    st.datetimes().map(lambda time: time.isoformat(timespec="seconds") + "Z"),
    st.times().map(str),
    st.floats(0, 1e5).map(lambda seconds: f"{seconds:.1f} s"),
    st.floats(0, 100).map(lambda price: f"{price:.4f} USD"),
    st.sampled_from([*gpu_types()]),
    st.sampled_from(["Tesla T4", "NVIDIA L4", "NVIDIA A10G", "NVIDIA H100 80GB HBM3"]),
    st.sampled_from(["us-east-1a", "eu-central-1b", "ap-southeast-2c", "us-gov-west-1a"]),
)


@settings(deadline=None)
@given(st.lists(HARMLESS, min_size=1, max_size=6).map(", ".join))
def test_versions_times_prices_and_names_of_aws_are_not_refused(text: str) -> None:
    assert refusals(json.dumps({text: text})) == []
    assert redact(text) == text


@settings(deadline=None)
@given(st.floats(-9e9, 9e9))
def test_a_number_is_not_refused_for_its_decimals(number: float) -> None:
    assert refusals(json.dumps([number, int(number)])) == []


@settings(deadline=None)
@given(st.integers(10**10, 10**12 - 1))
def test_an_account_id_is_refused_as_a_number_too(account: int) -> None:
    for value in (account, float(account), -account):
        (line,) = refusals(json.dumps({"a": [value]}))
        assert line.startswith("a[0]: a number of more than 10 digits")


@pytest.mark.parametrize("name", ["token", "Jupyter token", "session_token", "secret", "Password"])
def test_the_name_of_a_secret_is_enough(name: str) -> None:
    (line,) = refusals(json.dumps({"evidence": {name: "abc"}}))
    assert line.startswith(f"evidence.{name}: ")
    assert refusals(json.dumps({"evidence": {name: "<token>"}})) == []
    assert refusals(json.dumps({"evidence": {f"without {name}": "403"}})) == []


def test_a_key_that_is_there_twice_is_examined_twice() -> None:
    assert refusals('{"a": "123456789012", "a": ""}') != []


def test_an_escape_hides_nothing() -> None:
    assert refusals('{"a": "\\u0031\\u0032\\u0033456789012"}') != []
    assert refusals('{"a": "\\n123456789012"}') != []


def test_only_printable_ascii_is_published() -> None:
    hidden = "12345\u200b6789012 \u0661"
    assert "not printable ASCII" in refusals(json.dumps([hidden]))[0]
    assert redact(hidden) == "12345?6789012 ?"


@pytest.mark.parametrize("address", ["2001:db8:1:2:3:4:1.2.3.4", "::ffff:0.0.0.0", "2600:1f18::"])
def test_no_part_of_an_ipv6_address_stays(address: str) -> None:
    assert redact(f"at [{address}]:22, {address}.") == "at [<address>]:22, <address>."
