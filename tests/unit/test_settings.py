import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gpustation.settings.model import Settings
from gpustation.settings.read import LATER_SETTINGS, read_settings

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N me@example"
)

GITHUB_PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"


def only_fault(**context: Any) -> str:
    """The one line that refuses the context."""
    report = read_settings(context)
    assert len(report.faults) == 1, report.faults
    assert "\n" not in report.faults[0]
    return report.faults[0]


def test_nothing_given_means_the_defaults() -> None:
    report = read_settings({})
    assert report.settings == Settings()
    assert not report.faults
    assert not report.warnings
    assert report.settings.ssh_cidr == ()
    assert report.settings.public_key == ""


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("disk_gib", "100", 100),
        ("generation", "2", 2),
        ("ready_timeout_minutes", "720", 720),
        ("allow_world_ssh", "true", True),
        ("notebooks", "False", False),
        ("idle_stop_scratch_gib", "0", 0),
        ("idle_stop_scratch_gib", 28312, 28312),
        ("cuda_toolkit", "TRUE", True),
        ("image_instance_type", "g5.xlarge", "g5.xlarge"),
        ("image_retain", "true", True),
        ("image", "baked:Anna-2", "baked:Anna-2"),
        ("deploy_role_names", "anna, bob,anna", ("anna", "bob")),
        ("github_repository", "octo-org/octo.repo_1", "octo-org/octo.repo_1"),
        ("github_repository", "octo@1/repo@22", "octo@1/repo@22"),
        ("github_repository", "-Link-/repo", "-Link-/repo"),
        ("github_repository", "0----0/repo", "0----0/repo"),
        ("github_repository", "octo-org_corp/repo", "octo-org_corp/repo"),
        ("github_environment", "Production east", "Production east"),
        ("github_environment", "eu/west #2 (a+b)", "eu/west #2 (a+b)"),
        ("github_oidc_provider_arn", GITHUB_PROVIDER, GITHUB_PROVIDER),
        *(
            ("github_oidc_provider_arn", arn, arn)
            for partition in ("aws-cn", "aws-us-gov", "aws-eusc", "aws-iso-b")
            for arn in [GITHUB_PROVIDER.replace("arn:aws:", f"arn:{partition}:")]
        ),
        *(
            ("availability_zone", zone, zone)
            for zone in (
                *("us-east-1a", "ap-southeast-7c", "us-gov-west-1b", "cn-northwest-1a"),
                *("eusc-de-east-1a", "us-isob-east-1a", "eu-isoe-west-1a"),
                *("us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1", "eu-west-2-wl2-man-wlz-1"),
            )
        ),
        *(
            ("image", name, name)
            for name in (
                "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id",
                "/team/gpu_image.v1-x",
                "/a" * 15,
                "/" + "a" * 899,
            )
        ),
        ("stop_at", "22:00 Europe/Berlin", "22:00 Europe/Berlin"),
        ("stop_at", " 7:05   America/Argentina/Salta", "07:05 America/Argentina/Salta"),
        ("stop_at", "00:00 UTC", "00:00 UTC"),
        ("stop_at", "none", ""),
        ("stop_at_patience", "720", 720),
        ("ssh_cidr", "203.0.113.7/32, 198.51.100.0/24", ("203.0.113.7/32", "198.51.100.0/24")),
    ],
)
def test_text_and_json_mean_the_same(key: str, text: str, value: Any) -> None:
    as_json = list(value) if isinstance(value, tuple) else value
    assert getattr(read_settings({key: text}).settings, key) == value
    assert getattr(read_settings({key: as_json}).settings, key) == value


@pytest.mark.parametrize("name", ["a", "Anna", "anna-2", "a" * 20, "true", "a-", "A--b"])
def test_a_name_is_taken_as_it_is(name: str) -> None:
    report = read_settings({"name": name, "image": "baked"})
    assert (report.settings.name, report.faults, report.name_fault) == (name, (), "")
    assert report.settings.image_of_name == f"baked:{name}"


@pytest.mark.parametrize(
    "name",
    [
        *("1a", "-a", "an/na", "an_na", "an na", "a" * 21, "änna", "a\nb", "anna*", "a.b", "*"),
        *("{{resolve:ssm:/x}}", "${AWS::AccountId}", 7, ["anna"], {"anna": 1}),
    ],
)
def test_a_name_that_cannot_be_leaves_open_whose_stacks_are_meant(name: object) -> None:
    report = read_settings({"name": name})
    assert report.settings.name == ""
    assert report.faults == (report.name_fault,)
    assert report.name_fault.startswith("name=")
    assert "must be letters, digits and hyphens, begin with a letter" in report.name_fault


@pytest.mark.parametrize("key", ["Name", "NAME", "nmae", "names", "nam"])
def test_a_misspelt_name_leaves_it_open_too(key: str) -> None:
    report = read_settings({key: "anna"})
    assert report.faults == (report.name_fault,)
    assert "did you mean name?" in report.name_fault


def test_no_other_fault_leaves_it_open() -> None:
    report = read_settings({"name": "anna", "disk_gib": 1, "nonsense": 1, "dsk_gib": 3})
    assert len(report.faults) == 2
    assert (report.settings.name, report.name_fault) == ("anna", "")


@pytest.mark.parametrize(
    ("name", "image", "meant"),
    [
        ("", "baked", "baked"),
        ("anna", "baked:bob", "baked:bob"),
        ("anna", "ubuntu-24.04", "ubuntu-24.04"),
        ("anna", "/gpustation/image/mxnet", "/gpustation/image/mxnet"),
    ],
)
def test_only_bare_baked_means_the_image_of_the_name(name: str, image: str, meant: str) -> None:
    assert read_settings({"name": name, "image": image}).settings.image_of_name == meant


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "deploy_role_names",
        "public_key",
        "ssh_cidr",
        "image_instance_type",
        "github_repository",
        "github_oidc_provider_arn",
    ],
)
@pytest.mark.parametrize("value", ["none", ""])
def test_none_is_taken_at_its_word(key: str, value: str) -> None:
    assert read_settings({key: value}).settings == Settings()


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"instance_type": "g4dn.xlrge"}, ["g4dn.xlrge", "did you mean g4dn.xlarge?"]),
        ({"instance_type": "G4DN.xlarge"}, ["did you mean g4dn.xlarge?"]),
        ({"instance_type": "p5.48xlarge"}, ["MXNet", "9.0", "g4dn, g5, g6", "framework=pytorch"]),
        ({"instance_type": "p2.xlarge"}, ["retired", "K80", "use g4dn.xlarge"]),
        ({"instance_type": "p3.2xlarge"}, ["retired", "V100", "use g5.xlarge"]),
        ({"instance_type": "g5g.xlarge"}, ["ARM", "g4dn"]),
        ({"instance_type": "g4ad.xlarge"}, ["AMD", "g4dn"]),
        ({"instance_type": "g6f.xlarge"}, ["fraction", "g4dn"]),
        ({"instance_type": "m5.large"}, ["must be a GPU type", "g4dn.xlarge"]),
        ({"instance_type": "g7.2xlarge", "framework": "pytorch"}, ["driver 595", "580"]),
        ({"instance_type": "p3dn.24xlarge", "image": "dlami"}, ["image=dlami", "ubuntu-24.04"]),
        ({"image_instance_type": "g5.xlrge"}, ["did you mean g5.xlarge?"]),
        ({"image_instance_type": "p2.xlarge"}, ["retired", "use g4dn.xlarge"]),
        ({"image_instance_type": "p5.48xlarge"}, ["MXNet", "9.0", "framework=pytorch"]),
        ({"image_instance_type": True}, ["image_instance_type=true", "must be a GPU type"]),
        ({"image_retain": "no"}, ["true or false"]),
        ({"image_instance": "g5.xlarge"}, ["did you mean image_instance_type?"]),
        ({"image_retian": True}, ["did you mean image_retain?"]),
        ({"github_repository": "octo-org"}, ["owner/name", "owner@id/name@id", "gh api"]),
        ({"github_repository": "octo-org/*"}, ["without * or ?", "one role per repository"]),
        ({"github_repository": "octo-org/repo-?"}, ["without * or ?"]),
        ({"github_repository": "octo-org/repo:ref"}, ["owner/name"]),
        ({"github_repository": "octo-org/repo/x"}, ["owner/name"]),
        ({"github_repository": "octo@1/repo"}, ["owner@id/name@id"]),
        ({"github_repository": "octo/repo@2"}, ["owner@id/name@id"]),
        ({"github_repository": "octo@x/repo@y"}, ["owner@id/name@id"]),
        ({"github_repository": "octo/-/repo"}, ["owner/name"]),
        ({"github_repository": "octo@" + "1" * 21 + "/repo@2"}, ["owner@id/name@id"]),
        ({"github_repository": "octo/.."}, ["owner/name"]),
        ({"github_repository": "octo/repo.wiki"}, ["owner/name"]),
        ({"github_repository": "o" * 40 + "/repo"}, ["owner/name"]),
        ({"github_repository": "octo/" + "r" * 101}, ["owner/name"]),
        ({"github_repository": "octo/${aws:userid}"}, ["owner/name"]),
        ({"github_repository": "https://github.com/octo/repo.git"}, ["did you mean octo/repo?"]),
        ({"github_repository": "git@github.com:octo/repo"}, ["did you mean octo/repo?"]),
        ({"github_repository": True}, ["github_repository=true", "owner/name"]),
        ({"github_environment": "prod*"}, ["without * or ?", "protection rules"]),
        ({"github_environment": "prod:eu"}, ["not contain a colon", "rename"]),
        ({"github_environment": ""}, ["1 to 255", "production"]),
        ({"github_environment": "e" * 256}, ["1 to 255"]),
        ({"github_environment": "prod;x"}, ["1 to 255 of A-Z"]),
        ({"github_environment": "${x}"}, ["1 to 255 of A-Z"]),
        ({"github_environment": "{{resolve}}"}, ["1 to 255 of A-Z"]),
        ({"github_environment": "größe"}, ["größe", "1 to 255 of A-Z"]),
        ({"github_environment": ["prod"]}, ["1 to 255 of A-Z"]),
        ({"github_oidc_provider_arn": "token.actions.githubusercontent.com"}, ["oidc-provider/"]),
        ({"github_oidc_provider_arn": GITHUB_PROVIDER + "/octo"}, ["list-open-id-connect"]),
        ({"github_oidc_provider_arn": GITHUB_PROVIDER.replace("git", "evil")}, ["githubuser"]),
        (
            {"github_oidc_provider_arn": GITHUB_PROVIDER.replace(":aws:", ":aws-x:")},
            ["arn:aws:iam"],
        ),
        ({"github_repo": "octo/repo"}, ["did you mean github_repository?"]),
        ({"github": "octo/repo"}, ["did you mean github_repository?"]),
        ({"github_env": "prod"}, ["did you mean github_environment?"]),
        ({"githubRepository": "octo/repo"}, ["did you mean github_repository?"]),
        ({"framework": "torch"}, ["mxnet, pytorch", "did you mean pytorch?"]),
        ({"image": "baked:"}, ["image=baked:", "letters, digits and hyphens"]),
        ({"image": "baked:an/na"}, ["image=baked:an/na", "letters, digits and hyphens"]),
        ({"image": "Baked:anna"}, ["baked:<name>"]),
        ({"deploy_role_names": "anna bob"}, ["letters, digits and hyphens"]),
        ({"deploy_role_names": "GpuWorkstation-*"}, ["letters, digits and hyphens"]),
        ({"deploy_role_names": [f"n{n}" for n in range(41)]}, ["40 names", "41"]),
        ({"image": "ubuntu-2204"}, ["did you mean ubuntu-22.04?"]),
        ({"image": "ami-123"}, ["8 or 17"]),
        *(
            ({"python_mirror": address}, ["python_mirror", "https://HOST/FOLDER"])
            for address in (
                *("ftp://h/x", "mirror.example.com", "https://h/a?b=c", "https://h//x"),
                *("https://h/${AWS::Region}", "https://h/a b", f"https://h/{'x' * 500}"),
            )
        ),
        ({"image": "/team//gpu"}, ["one slash before each"]),
        ({"image": "/team/gpu/"}, ["none at the end"]),
        ({"image": "/"}, ["SSM parameter"]),
        ({"image": "/team/gpu:2"}, ["SSM parameter"]),
        ({"image": "/a" * 16}, ["15 levels"]),
        ({"image": "/" + "a" * 900}, ["900 characters"]),
        ({"image": "/aws/reference/secretsmanager/prod"}, ["/aws/service/..."]),
        ({"image": "/AWS/service/x"}, ["which AWS reserves"]),
        ({"disk_gib": 8}, ["disk_gib=8", "30", "use 64"]),
        ({"disk_gib": "abc"}, ["disk_gib=abc", "whole number of GiB"]),
        ({"disk_gib": 64.5}, ["whole number"]),
        ({"disk_gib": True}, ["disk_gib=true", "whole number"]),
        ({"disk_gib": 99999}, ["65536"]),
        ({"availability_zone": "use1-az1"}, ["id of a zone", "us-east-1a"]),
        ({"availability_zone": "use1-wl1-bos-wlz1"}, ["id of a zone", "us-east-1a"]),
        ({"availability_zone": "usw2-lax1-az1"}, ["id of a zone", "us-east-1a"]),
        ({"availability_zone": "here"}, ["auto"]),
        ({"availability_zone": "us-east-1"}, ["the name of a zone"]),
        ({"availability_zone": "xx-nowhere-1a"}, ["the name of a zone"]),
        ({"availability_zone": "us-east-1-" + "x" * 300}, ["the name of a zone"]),
        ({"generation": 0}, ["1 to 255"]),
        ({"generation": 256}, ["1 to 255"]),
        ({"ready_timeout_minutes": 4}, ["5 to 720"]),
        ({"quota": "strict"}, ["enforce, warn, request"]),
        ({"notebooks": "yes"}, ["true or false"]),
        ({"notebooks": 1}, ["true or false"]),
        ({"ssh_cidr": "0.0.0.0/0"}, ["half of the internet", "allow_world_ssh=true"]),
        ({"ssh_cidr": "0.0.0.0/1"}, ["half of the internet"]),
        ({"ssh_cidr": "0.0.0.0/2,128.0.0.0/2"}, ["half of the internet"]),
        ({"ssh_cidr": "1.0.0.1 2.0.0.2/32"}, ["a comma", "did you mean 1.0.0.1/32,2.0.0.2/32?"]),
        ({"ssh_cidr": "1.0.0.1/32; 2.0.0.2/8"}, ["did you mean 1.0.0.1/32,2.0.0.2/32?"]),
        ({"ssh_cidr": "1.0.0.1/32\n2.0.0.2/32"}, ["did you mean 1.0.0.1/32,2.0.0.2/32?"]),
        ({"ssh_cidr": ["1.0.0.1/32 2.0.0.2/32"]}, ["did you mean 1.0.0.1/32,2.0.0.2/32?"]),
        ({"ssh_cidr": "1.0.0.1,2.0.0.2,10.0.0.0/8"}, ["1.0.0.1/32,2.0.0.2/32,10.0.0.0/8?"]),
        ({"ssh_cidr": ";"}, ["must be an IPv4 network"]),
        ({"ssh_cidr": {"a": 1}}, ["must be an IPv4 network"]),
        ({"ssh_cidr": [f"10.0.0.{n}/32" for n in range(61)]}, ["60 networks", "61"]),
        ({"ssh_cidr": " ".join(f"10.0.0.{n}" for n in range(61))}, ["60 networks", "61"]),
        ({"ssh_cidr": "10.0.0.1/33"}, ["10.0.0.1/33", "did you mean 10.0.0.1/32?"]),
        ({"ssh_cidr": "10.0.0.1/8"}, ["10.0.0.0/8", "10.0.0.1/32"]),
        ({"ssh_cidr": "2001:db8::/64"}, ["IPv6", "Session Manager"]),
        ({"ssh_cidr": "::/0", "allow_world_ssh": True}, ["IPv6"]),
        ({"ssh_cidr": "203.0.113.7"}, ["did you mean 203.0.113.7/32?"]),
        ({"ssh_cidr": "my house"}, ["my house", "203.0.113.7/32"]),
        ({"instnace_type": "g4dn.xlarge"}, ["did you mean instance_type?"]),
        ({"instance-type": "g4dn.xlarge"}, ["did you mean instance_type?"]),
        ({"disk": 100}, ["did you mean disk_gib?"]),
        ({"stop_at": "22:00"}, ["must be HH:MM", "22:00 Europe/Berlin"]),
        ({"stop_at": 22}, ["must be HH:MM", "22:00 Europe/Berlin"]),
        ({"stop_at": "24:00 Europe/Berlin"}, ["from 00:00 to 23:59"]),
        ({"stop_at": "10:00pm Europe/Berlin"}, ["must be HH:MM"]),
        ({"stop_at": "22:00 europe/berlin"}, ["did you mean Europe/Berlin?"]),
        ({"stop_at": "22:00 Berlin"}, ["time zone of the IANA database", "Europe/Berlin?"]),
        ({"stop_at": "22:00 America/NewYork"}, ["did you mean America/New_York"]),
        ({"stop_at": "22:00 CET"}, ["UTC or Area/City such as Europe/Berlin"]),
        ({"stop_at": "22:00 ../../etc/passwd"}, ["must be HH:MM"]),
        ({"stop_at_patience": 721}, ["from 0 to 720"]),
        ({"idle_stop_minute": 30}, ["did you mean idle_stop_minutes?"]),
        ({"idle_stop_scratch_gib": -1}, ["from 0 to 30000", "nothing on /scratch"]),
        ({"idle_stop_scratch_gib": 1.5}, ["whole number of GiB"]),
    ],
)
def test_fails_with_one_line_that_helps(context: dict[str, Any], words: list[str]) -> None:
    line = only_fault(**context)
    for word in words:
        assert word in line
    key = next(iter(context))
    assert key in line


@pytest.mark.parametrize("key", LATER_SETTINGS)
def test_fails_when_a_setting_of_a_later_version_is_given(key: str) -> None:
    assert "known, not yet supported" in only_fault(**{key: True})


def test_an_address_without_a_limit_is_warned_of() -> None:
    report = read_settings({"budget_email": "me@example.com"})
    assert "nothing to tell without monthly_budget_usd" in report.warnings["budgetEmail"]
    both = {"budget_email": "me@example.com", "monthly_budget_usd": "20"}
    assert not read_settings(both).warnings


@pytest.mark.parametrize("value", ["-1", "0.5", "100001", "20 USD", "1e3", "true"])
def test_a_limit_is_a_whole_number_of_usd(value: str) -> None:
    (fault,) = read_settings({"monthly_budget_usd": value}).faults
    assert fault.startswith(f"monthly_budget_usd={value}: must be a whole number of USD from 1 to")


@pytest.mark.parametrize("value", ["me", "me@", "@example.com", "a b@example.com", "me@host"])
def test_an_address_is_one(value: str) -> None:
    (fault,) = read_settings({"budget_email": value, "monthly_budget_usd": 5}).faults
    assert "must be an e-mail address such as me@example.com" in fault


def test_patience_without_a_daily_stop_is_warned_of() -> None:
    alone = read_settings({"stop_at_patience": 30})
    assert "nothing to delay without stop_at" in alone.warnings["stopAtPatience"]
    both = read_settings({"stop_at_patience": 30, "stop_at": "22:00 Europe/Berlin"})
    assert not both.warnings
    wrong = read_settings({"stop_at_patience": 30, "stop_at": "22:00"})
    assert not wrong.warnings and len(wrong.faults) == 1


def test_fails_when_this_computer_has_no_time_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert "python -m pip install tzdata" in only_fault(stop_at="22:00 Europe/Berlin")


def test_images_are_built_on_the_type_of_the_workstation_unless_another_is_named() -> None:
    assert read_settings({"instance_type": "g6.xlarge"}).settings.build_type == "g6.xlarge"
    both = read_settings({"instance_type": "g6.xlarge", "image_instance_type": "g5.xlarge"})
    assert both.settings.build_type == "g5.xlarge"


def test_each_type_is_compared_with_the_framework() -> None:
    context = {"instance_type": "p5.48xlarge", "image_instance_type": "p5.4xlarge"}
    assert [line.partition(":")[0] for line in read_settings(context).faults] == [
        "instance_type=p5.48xlarge",
        "image_instance_type=p5.4xlarge",
    ]


def test_all_faults_are_told_at_once() -> None:
    report = read_settings({"disk_gib": 8, "instance_type": "p2.xlarge", "ssh_cidr": "1.2.3.4"})
    assert len(report.faults) == 3


def test_a_faulty_value_does_not_hide_a_conflict_of_others() -> None:
    report = read_settings({"disk_gib": 8, "instance_type": "p5.48xlarge"})
    assert len(report.faults) == 2


@pytest.mark.parametrize(
    "context",
    [
        {"instance_type": "p5.48xlarge"},
        {"instance_type": "p3dn.24xlarge", "framework": "pytorch"},
        {"instance_type": "p3dn.24xlarge", "image": "dlami"},
        {"ssh_cidr": "0.0.0.0/0"},
        {"image_instance_type": "p5.48xlarge"},
        {"disk_gib": "abc"},
        {"instance_type": "p5.48xlarge", "framework": "torch"},
        {"instance_type": "p3dn.24xlarge", "image": "dlami", "framework": "pytorch"},
        {"ssh_cidr": "0.0.0.0/0", "allow_world_ssh": "maybe"},
    ],
)
def test_what_is_faulty_is_replaced_by_something_that_can_be_synthesized(
    context: dict[str, Any],
) -> None:
    report = read_settings(context)
    assert report.faults
    assert read_settings(dataclasses.asdict(report.settings)).faults == ()


def test_what_is_not_ours_is_left_alone() -> None:
    report = read_settings(
        {
            "aws:cdk:enable-path-metadata": True,
            "@aws-cdk/core:x": True,
            "availability-zones:account=1:region=x": ["a"],
            "cli-telemetry": False,
        }
    )
    assert not report.faults
    assert not report.warnings


def test_an_unknown_key_of_a_persons_own_file_only_warns() -> None:
    report = read_settings({"owner": "me"})
    assert report.faults == ()
    assert "owner" in report.warnings["ignoredKey.owner"]


def test_the_id_of_a_warning_follows_its_key_and_not_its_place() -> None:
    keys = ("owner", "a b", "größe", "a[b]", "a:b", "x" * 60, "x" * 61)
    alone = {name for key in keys for name in read_settings({key: 1}).warnings}
    together = read_settings(dict.fromkeys(reversed(keys), 1)).warnings
    assert set(together) == alone
    assert len(together) == len(keys) - 1  # a key with a colon is CDK's
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", name) for name in together)


@pytest.mark.parametrize("key", [*Settings.model_fields, *LATER_SETTINGS, "instnace_type", "owner"])
def test_null_means_not_given(key: str) -> None:
    report = read_settings({key: None})
    assert report.settings == Settings()
    assert not report.faults
    assert not report.warnings


def test_null_in_a_list_means_not_given() -> None:
    assert read_settings({"ssh_cidr": [None, "10.0.0.0/8"]}).settings.ssh_cidr == ("10.0.0.0/8",)


JSON_VALUES = {
    "boolean": True,
    "integer": 7,
    "number": 1.5,
    "huge": 10**5000,
    "list": ["a", {"b": None}],
    "object": {"a": [1]},
}


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
@pytest.mark.parametrize("key", Settings.model_fields)
def test_json_that_is_no_text_is_read_as_its_json(key: str, value: object) -> None:
    """So ``true`` means the same with and without quotes, and no value ends in a trace."""
    as_text = "int" if value == 10**5000 else json.dumps(value)
    if key != "ssh_cidr":
        assert read_settings({key: value}) == read_settings({key: as_text})
    else:
        assert read_settings({key: value}).faults


def test_the_world_can_be_let_in_on_purpose() -> None:
    report = read_settings({"ssh_cidr": "0.0.0.0/0", "allow_world_ssh": "true"})
    assert report.faults == ()


def test_less_than_half_of_the_internet_is_not_the_world() -> None:
    assert read_settings({"ssh_cidr": "0.0.0.0/2,64.0.0.0/3"}).faults == ()


def test_sixty_networks_are_taken() -> None:
    networks = [f"10.0.0.{n}/32" for n in range(60)]
    report = read_settings({"ssh_cidr": [*networks, networks[0]]})
    assert report.settings.ssh_cidr == tuple(networks)


def test_a_network_given_twice_makes_one_rule() -> None:
    report = read_settings({"ssh_cidr": "203.0.113.7/32,203.0.113.7/32"})
    assert report.settings.ssh_cidr == ("203.0.113.7/32",)


def test_a_public_key_is_taken_as_text_or_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "id.pub"
    path.write_text(f"# mine\n{PUBLIC_KEY}\n")
    assert read_settings({"public_key": PUBLIC_KEY}).settings.public_key == PUBLIC_KEY
    assert read_settings({"public_key": str(path)}).settings.public_key == PUBLIC_KEY


def test_fails_when_a_library_user_gives_a_secret_and_does_not_show_it() -> None:
    with pytest.raises(ValueError) as refused:
        Settings(public_key=SECRETS["the body of a key"], image=SECRETS["token"])
    assert "public_key" in str(refused.value)
    assert not any(text in str(refused.value) for text in SECRETS.values())


SECRETS = {
    "private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAA\n",
    "cut private key": "-----BEGIN RSA PRIVATE KEY-----",
    "the body of a key": "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW",
    "PKCS8 body": "MC4CAQAwBQYDK2VwBCIEIAtx/7b2kwY5nJ0z/Hq8o+4x/R1sDkP3eXl6Yh1vVw9Q",
    "PKCS8 after a slash": "/4CAQAwBQYDK2VwBCIEIAtx/7b2kwY5nJ0zHq8o+4x/R1sDkP3eXl6Yh1vVw9Q",
    "two lines of it": "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
    "PuTTY": "PuTTY-User-Key-File-3: ssh-ed25519",
    "age": "AGE-SECRET-KEY-1QQPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3J",
    "JWK": '{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}',
    "AWS": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "token": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "fine token": "github_pat_11AAAAAAA0abcdefghij_1234567890",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "password in an address": "https://ada:hunter2@mirror.example.com/python",
    "hex": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize(
    "key",
    ["public_key", "publickey", "public_keys", "image", "ssh_cidr", "disk_gib", "spot", "disk"],
)
def test_a_secret_is_refused_and_never_shown(key: str, secret: str) -> None:
    for value in (secret, [secret], {"a": secret}):
        report = read_settings({key: value})
        assert len(report.faults) == 1
        assert report.faults[0].startswith(key)
        for part in secret.split():
            assert part[:20] not in repr(report)


@pytest.mark.parametrize("key", ["public_key", "publickey"])
@pytest.mark.parametrize(
    "value", ["correct horse", '{"kty":"oct","k":"GawgguFy"}', "abc/def", "id"]
)
def test_of_a_public_key_only_a_path_is_shown(key: str, value: str) -> None:
    assert only_fault(**{key: value}).startswith(f"{key}: ")


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_in_the_place_of_a_key_is_not_shown(secret: str) -> None:
    assert secret[:20] not in repr(read_settings({secret: "x"}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("public_key", "/gone/id_ed25519.pub"),
        ("public_key", "~/.ssh/id_ed25519_of_my_workstation_2026.pub"),
        ("public_key", "keys/Anna Maria (work).pub"),
        ("publickey", "~/.ssh/id.pub"),
        ("image", "/Team/images/Ubuntu2204/With-MXNet191/"),
        ("image", "ami-0123456789ABCDEF0"),
        ("github_repository", "https://github.com/Octo-Org/Repo2/tree/main"),
        ("instance_type", "g4dn.xlrge"),
    ],
)
def test_what_is_no_secret_is_shown(key: str, value: str) -> None:
    assert only_fault(**{key: value}).startswith(f"{key}={value}: ")
