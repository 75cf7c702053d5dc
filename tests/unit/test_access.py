"""Host keys, reports, pins and rules of the verbs that reach the machine: text and arithmetic."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from gpustation.access.host_keys import HostKey, keys_in_console, parse_key
from gpustation.access.known_hosts import HostKeysChangedError, KnownHosts
from gpustation.access.own_address import checked
from gpustation.access.report import Report, ReportError, parse_report, report_of
from gpustation.access.route import Route, may_be_open
from gpustation.access.shell import explained
from gpustation.aws.own_rules import group_of
from gpustation.catalog.names import REPORTS
from gpustation.workstation.machine import Machine, read_machine

MACHINE, OTHER = "i-0123456789abcdef0", "i-0fedcba9876543210"


def key(seed: int, kind: str = "ssh-ed25519") -> HostKey:
    fields = (kind.encode(), bytes([seed]) * 32)
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return HostKey(kind, base64.b64encode(blob).decode())


def report(**changes: object) -> str:
    made = {"schema": 1, "instance_id": MACHINE, "host_keys": [str(key(1))]}
    return json.dumps(made | changes)


def test_a_report_is_read_and_an_empty_one_is_none() -> None:
    assert parse_report(report()) == Report(MACHINE, (key(1),))
    assert parse_report(report(verdict=None, stop_reason=None, unknown=1)) is not None
    assert parse_report("{}") is None


SET_UP = {"state": "running", "phase": "driver", "since": 1795816000, "seconds": {}, "warnings": {}}


def test_the_set_up_in_a_report_is_read() -> None:
    told = SET_UP | {"seconds": {"system": 9}, "warnings": {"metadata": "no rule"}}
    read = parse_report(report(set_up=told))
    assert read is not None and read.set_up is not None
    assert (read.set_up.state, read.set_up.phase) == ("running", "driver")
    assert read.set_up.since.year == 2026
    assert (read.set_up.seconds, read.set_up.warnings) == ({"system": 9}, {"metadata": "no rule"})


@pytest.mark.parametrize(
    "change",
    [
        {"state": "ready"},
        {"state": []},
        {"phase": "\x1b[2J"},
        {"phase": None},
        {"since": "now"},
        {"since": -1},
        {"since": 10**30},
        {"since": True},
        {"seconds": [1]},
        {"seconds": {"system": "9"}},
        {"seconds": {f"p{'a' * n}": 1 for n in range(41)}},
        {"warnings": {"metadata": 1}},
        {"warnings": {"a\nb": "text"}},
    ],
)
def test_a_set_up_in_another_form_is_refused(change: dict[str, object]) -> None:
    for told in (SET_UP | change, [*SET_UP], "running", 1):
        with pytest.raises(ReportError, match="set_up"):
            parse_report(report(set_up=told))


VERDICT = {"state": "warned", "reason": "nothing moved", "decided_at": 5, "stops_at": 305}
STOP = {"at": 1795816000, "reason": "nothing moved for 60 min"}


def test_what_the_idle_stop_says_is_read() -> None:
    read = parse_report(
        report(verdict=VERDICT, last_stop=STOP, keep_awake_until=1795816000, scratch_gib=114)
    )
    assert read is not None and read.verdict is not None and read.last_stop is not None
    assert (read.verdict.state, read.verdict.reason) == ("warned", "nothing moved")
    assert (read.verdict.stops - read.verdict.decided).total_seconds() == 300
    assert (read.last_stop.at.year, read.last_stop.reason) == (2026, "nothing moved for 60 min")
    assert read.keep_awake_until == read.last_stop.at
    assert read.scratch_gib == 114


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("verdict", "awake"),
        ("verdict", VERDICT | {"state": "asleep"}),
        ("verdict", VERDICT | {"reason": ["a"]}),
        ("verdict", VERDICT | {"stops_at": None}),
        ("verdict", VERDICT | {"decided_at": 10**30}),
        ("last_stop", STOP | {"at": True}),
        ("last_stop", {"at": 5}),
        ("keep_awake_until", "tomorrow"),
        ("keep_awake_until", -1),
        ("scratch_gib", "114"),
        ("scratch_gib", 114.5),
        ("scratch_gib", True),
        ("scratch_gib", -1),
        ("scratch_gib", 10**9),
    ],
)
def test_what_the_idle_stop_says_in_another_form_is_refused(name: str, told: object) -> None:
    with pytest.raises(ReportError, match=name):
        parse_report(report(**{name: told}))


def machine(generation: int = 1, stack: str = "GpuWorkstation") -> Machine:
    row = {
        "InstanceId": MACHINE,
        "InstanceType": "g4dn.xlarge",
        "State": {"Name": "running"},
        "LaunchTime": NOW,
        "Tags": [
            {"Key": "aws:cloudformation:stack-name", "Value": stack},
            {"Key": "aws:cloudformation:logical-id", "Value": f"Generation{generation}MachineX"},
        ],
    }
    return read_machine(row)  # type: ignore[arg-type]


def test_a_machine_is_believed_only_in_its_own_parameter() -> None:
    own = f"{REPORTS}/GpuWorkstation/Generation1MachineReport177079DF"
    assert report_of(machine(), {own: report()}) == Report(MACHINE, (key(1),))
    for name in (
        f"{REPORTS}/GpuWorkstation-ada/Generation1MachineReport177079DF",
        f"{REPORTS}/GpuWorkstation/Generation2MachineReport177079DF",
        f"{REPORTS}/other/{own}",
    ):
        assert report_of(machine(), {name: report()}) is None
    assert report_of(machine(), {own: report(instance_id=OTHER)}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "[" * 4000,
        "x" * 5000,
        report(schema=2),
        report(instance_id="i-1\n"),
        report(instance_id=7),
        report(host_keys=[]),
        report(host_keys="ssh-ed25519"),
        report(host_keys=[str(key(1))] * 9),
        report(host_keys=[f"{key(1)}\n* {key(2)}"]),
        report(host_keys=[f"@cert-authority * {key(1)}"]),
        report(host_keys=["ssh-ed25519 " + key(1, "ssh-rsa").blob]),
        report(host_keys=["ssh-ed25519 " + "A" * 41]),
    ],
)
def test_what_is_not_a_report_is_refused(text: str) -> None:
    with pytest.raises(ReportError):
        parse_report(text)


def test_a_line_with_a_comment_is_a_key_and_its_fingerprint_is_openssh_s() -> None:
    found = parse_key(f"{key(1)} root@ip-10-0-1-4")
    assert found == key(1)
    assert found.fingerprint.startswith("ssh-ed25519 SHA256:")


def test_contradicting_blocks_on_the_console_prove_nothing() -> None:
    def block(seed: int) -> str:
        begin, end = (f"-----{word} SSH HOST KEY KEYS-----" for word in ("BEGIN", "END"))
        return f"boot\n{begin}\n{key(seed)} root@host\n{end}\n"

    assert keys_in_console(block(1)) == keys_in_console(block(1) * 2) == (key(1),)
    assert keys_in_console(block(1) + block(2)) == ()
    assert keys_in_console("nothing") == ()


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "known_hosts")


def test_the_first_report_is_pinned_for_the_owner_alone(known: KnownHosts) -> None:
    assert not known.trust(MACHINE, "alias", [])
    assert known.trust(MACHINE, "alias", [key(1)])
    assert known.path.stat().st_mode & 0o777 == 0o600
    assert known.keys(MACHINE) == known.keys("alias") == (key(1),)
    assert known.trust(MACHINE, "alias", [])


def test_a_change_is_refused_until_it_is_confirmed(known: KnownHosts) -> None:
    known.trust(MACHINE, "alias", [key(1)])
    for reported in ([key(2)], [key(1), key(2)]):
        with pytest.raises(HostKeysChangedError):
            known.trust(MACHINE, "alias", reported)
    assert known.keys(MACHINE) == (key(1),)
    assert known.trust(MACHINE, "alias", [key(2)], lambda _: True)
    assert known.keys(MACHINE) == (key(2),)


def test_a_new_generation_replaces_the_pin(known: KnownHosts) -> None:
    known.trust(MACHINE, "alias", [key(1)])
    known.trust("i-1", "another", [key(3)])
    assert known.trust(OTHER, "alias", [key(2)])
    assert known.keys("alias") == (key(2),)
    assert known.keys("another") == (key(3),)


def test_a_key_that_ssh_learned_by_session_manager_may_be_completed(known: KnownHosts) -> None:
    known.path.write_text(f"{MACHINE} {key(1)}\n")
    assert known.trust(MACHINE, "alias", [key(1), key(2)])
    known.path.write_text(f"{MACHINE} {key(1)}\n")
    with pytest.raises(HostKeysChangedError):
        known.trust(MACHINE, "alias", [key(2)])


NOW = datetime(2026, 11, 28, 20, 0, tzinfo=timezone.utc)


def test_only_rules_of_the_verb_are_its_own() -> None:
    until = "gpustation allow-my-ip until 2026-11-28T19:59Z"
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    rows = [
        {"CidrIp": "203.0.113.7/32", "Description": until},
        {"CidrIp": "203.0.113.8/31", "Description": until},
        {"CidrIp": "198.51.100.0/24", "Description": "SSH from 198.51.100.0/24"},
    ]
    web = {**ssh, "ToPort": 80, "IpRanges": [rows[0]]}
    group = group_of({"GroupId": "sg-1", "IpPermissions": [{**ssh, "IpRanges": rows}, web]})  # type: ignore[typeddict-item]
    (own,) = group.own
    assert own.address == "203.0.113.7" and own.expired(NOW)
    assert group.admits("198.51.100.9") == "198.51.100.0/24"
    assert group.admits("192.0.2.1") == ""


@pytest.mark.parametrize("text", ["", "::1", "2001:db8::1", "10.0.0.1", "127.0.0.1", "1.2.3.4/0"])
def test_an_address_that_aws_does_not_see_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        checked(text)
    assert checked("203.0.113.7") == "203.0.113.7"


def test_no_rule_for_port_22_needs_no_probe() -> None:
    assert not may_be_open([])
    assert not may_be_open([{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 443}])
    assert may_be_open([{"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}])
    assert may_be_open([{"IpProtocol": "-1"}])


def test_ssh_s_own_error_is_explained_and_escaped() -> None:
    text = "ubuntu@host: Permission denied (publickey).\x1b[31m"
    said = explained(text, Route.DIRECT)
    assert "did not accept the key" in said and "\\x1b" in said
