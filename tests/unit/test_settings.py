from pathlib import Path
from typing import Any

import pytest

from gpustation.settings import LATER_SETTINGS, Settings, read_settings

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
    assert report.faults == report.warnings == ()
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
        ("cuda_toolkit", "TRUE", True),
        ("image_instance_type", "g5.xlarge", "g5.xlarge"),
        ("image_retain", "true", True),
        ("github_repository", "octo-org/octo.repo_1", "octo-org/octo.repo_1"),
        ("github_repository", "octo@1/repo@22", "octo@1/repo@22"),
        ("github_environment", "Production east", "Production east"),
        ("github_oidc_provider_arn", GITHUB_PROVIDER, GITHUB_PROVIDER),
        ("ssh_cidr", "203.0.113.7/32, 198.51.100.0/24", ("203.0.113.7/32", "198.51.100.0/24")),
    ],
)
def test_text_and_json_mean_the_same(key: str, text: str, value: Any) -> None:
    as_json = list(value) if isinstance(value, tuple) else value
    assert getattr(read_settings({key: text}).settings, key) == value
    assert getattr(read_settings({key: as_json}).settings, key) == value


@pytest.mark.parametrize(
    "key",
    [
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
        ({"instance_type": "p2.xlarge"}, ["retired", "K80", "take g4dn.xlarge"]),
        ({"instance_type": "p3.2xlarge"}, ["retired", "V100", "take g5.xlarge"]),
        ({"instance_type": "g5g.xlarge"}, ["ARM", "g4dn"]),
        ({"instance_type": "g4ad.xlarge"}, ["AMD", "g4dn"]),
        ({"instance_type": "g6f.xlarge"}, ["fraction", "g4dn"]),
        ({"instance_type": "m5.large"}, ["must be a GPU type", "g4dn.xlarge"]),
        ({"instance_type": "g7.2xlarge", "framework": "pytorch"}, ["driver 595", "580"]),
        ({"instance_type": "p3dn.24xlarge", "image": "dlami"}, ["image=dlami", "ubuntu-22.04"]),
        ({"image_instance_type": "g5.xlrge"}, ["did you mean g5.xlarge?"]),
        ({"image_instance_type": "p2.xlarge"}, ["retired", "take g4dn.xlarge"]),
        ({"image_instance_type": "p5.48xlarge"}, ["MXNet", "9.0", "framework=pytorch"]),
        ({"image_instance_type": True}, ["image_instance_type=true", "must be a GPU type"]),
        ({"image_retain": "no"}, ["true or false"]),
        ({"image_instance": "g5.xlarge"}, ["did you mean image_instance_type?"]),
        ({"image_retian": True}, ["did you mean image_retain?"]),
        ({"github_repository": "octo-org"}, ["owner/name", "owner@id/name@id", "gh api"]),
        ({"github_repository": "octo-org/*"}, ["without * or ?", "a role for each"]),
        ({"github_repository": "octo-org/repo-?"}, ["without * or ?"]),
        ({"github_repository": "octo-org/repo:ref"}, ["owner/name"]),
        ({"github_repository": "octo-org/repo/x"}, ["owner/name"]),
        ({"github_repository": "octo@1/repo"}, ["owner@id/name@id"]),
        ({"github_repository": "octo/repo@2"}, ["owner@id/name@id"]),
        ({"github_repository": "octo@x/repo@y"}, ["owner@id/name@id"]),
        ({"github_repository": "-octo/repo"}, ["owner/name"]),
        ({"github_repository": "octo--org/repo"}, ["owner/name"]),
        ({"github_repository": "octo/.."}, ["owner/name"]),
        ({"github_repository": "octo/repo.wiki"}, ["owner/name"]),
        ({"github_repository": "o" * 40 + "/repo"}, ["owner/name"]),
        ({"github_repository": "octo/" + "r" * 101}, ["owner/name"]),
        ({"github_repository": "octo/${aws:userid}"}, ["owner/name"]),
        ({"github_repository": "https://github.com/octo/repo.git"}, ["did you mean octo/repo?"]),
        ({"github_repository": "git@github.com:octo/repo"}, ["did you mean octo/repo?"]),
        ({"github_repository": True}, ["github_repository=true", "owner/name"]),
        ({"github_environment": "prod*"}, ["without * or ?", "protection rules"]),
        ({"github_environment": "prod:eu"}, ["no colon", "rename"]),
        ({"github_environment": ""}, ["1 to 255", "production"]),
        ({"github_environment": "e" * 256}, ["1 to 255"]),
        ({"github_environment": "prod;x"}, ["none of"]),
        ({"github_environment": "${x}"}, ["none of"]),
        ({"github_environment": "größe"}, ["ASCII"]),
        ({"github_oidc_provider_arn": "token.actions.githubusercontent.com"}, ["oidc-provider/"]),
        ({"github_oidc_provider_arn": GITHUB_PROVIDER + "/octo"}, ["list-open-id-connect"]),
        ({"github_oidc_provider_arn": GITHUB_PROVIDER.replace("git", "evil")}, ["githubuser"]),
        ({"github_repo": "octo/repo"}, ["did you mean github_repository?"]),
        ({"github": "octo/repo"}, ["did you mean github_repository?"]),
        ({"github_env": "prod"}, ["did you mean github_environment?"]),
        ({"githubRepository": "octo/repo"}, ["did you mean github_repository?"]),
        ({"framework": "torch"}, ["mxnet, pytorch", "did you mean pytorch?"]),
        ({"image": "ubuntu-2204"}, ["did you mean ubuntu-22.04?"]),
        ({"image": "ami-123"}, ["8 or 17"]),
        ({"disk_gib": 8}, ["disk_gib=8", "30", "take 64"]),
        ({"disk_gib": "abc"}, ["disk_gib=abc", "whole number of GiB"]),
        ({"disk_gib": 64.5}, ["whole number"]),
        ({"disk_gib": True}, ["disk_gib=true", "whole number"]),
        ({"disk_gib": 99999}, ["65536"]),
        ({"availability_zone": "use1-az1"}, ["zone's id", "us-east-1a"]),
        ({"availability_zone": "here"}, ["auto"]),
        ({"generation": 0}, ["1 to 255"]),
        ({"generation": 256}, ["1 to 255"]),
        ({"ready_timeout_minutes": 4}, ["5 to 720"]),
        ({"quota": "strict"}, ["enforce, warn, request"]),
        ({"notebooks": "yes"}, ["true or false"]),
        ({"notebooks": 1}, ["true or false"]),
        ({"ssh_cidr": "0.0.0.0/0"}, ["whole internet", "allow_world_ssh=true"]),
        ({"ssh_cidr": "0.0.0.0/1,128.0.0.0/1"}, ["whole internet"]),
        ({"ssh_cidr": "10.0.0.1/33"}, ["10.0.0.1/33", "did you mean 10.0.0.1/32?"]),
        ({"ssh_cidr": "10.0.0.1/8"}, ["10.0.0.0/8", "10.0.0.1/32"]),
        ({"ssh_cidr": "2001:db8::/64"}, ["IPv6", "Session Manager"]),
        ({"ssh_cidr": "::/0", "allow_world_ssh": True}, ["IPv6"]),
        ({"ssh_cidr": "203.0.113.7"}, ["did you mean 203.0.113.7/32?"]),
        ({"ssh_cidr": "my house"}, ["my house", "203.0.113.7/32"]),
        ({"instnace_type": "g4dn.xlarge"}, ["did you mean instance_type?"]),
        ({"instance-type": "g4dn.xlarge"}, ["did you mean instance_type?"]),
        ({"disk": 100}, ["did you mean disk_gib?"]),
        ({"idle_stop_minute": 30}, ["did you mean idle_stop_minutes?"]),
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
    assert read_settings(report.settings.model_dump()).faults == ()


def test_what_is_not_ours_is_left_alone() -> None:
    report = read_settings(
        {
            "aws:cdk:enable-path-metadata": True,
            "@aws-cdk/core:x": True,
            "availability-zones:account=1:region=x": ["a"],
            "cli-telemetry": False,
        }
    )
    assert report.faults == report.warnings == ()


def test_an_unknown_key_of_a_persons_own_file_only_warns() -> None:
    report = read_settings({"owner": "me"})
    assert report.faults == ()
    assert "owner" in report.warnings[0]


def test_the_world_can_be_let_in_on_purpose() -> None:
    report = read_settings({"ssh_cidr": "0.0.0.0/0", "allow_world_ssh": "true"})
    assert report.faults == ()


def test_a_network_given_twice_makes_one_rule() -> None:
    report = read_settings({"ssh_cidr": "203.0.113.7/32,203.0.113.7/32"})
    assert report.settings.ssh_cidr == ("203.0.113.7/32",)


def test_a_public_key_is_taken_as_text_or_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "id.pub"
    path.write_text(f"# mine\n{PUBLIC_KEY}\n")
    assert read_settings({"public_key": PUBLIC_KEY}).settings.public_key == PUBLIC_KEY
    assert read_settings({"public_key": str(path)}).settings.public_key == PUBLIC_KEY


@pytest.mark.parametrize("name", ["missing.pub", "a-folder", "broken.pub", "two.pub", "latin.pub"])
def test_fails_when_the_key_file_holds_no_key(name: str, tmp_path: Path) -> None:
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "broken.pub").write_text(PUBLIC_KEY[:40])
    (tmp_path / "two.pub").write_text(f"{PUBLIC_KEY}\n{PUBLIC_KEY}\n")
    (tmp_path / "latin.pub").write_bytes(b"\xff\xfe")
    assert name in only_fault(public_key=str(tmp_path / name))


SECRET = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"
PRIVATE_KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize("key", ["public_key", "publik_key", "image", "ssh_cidr", "spot"])
def test_a_private_key_is_refused_and_never_printed(key: str) -> None:
    report = read_settings({key: PRIVATE_KEY})
    assert report.faults
    assert SECRET not in repr(report)


def test_a_file_with_a_private_key_is_refused_and_never_printed(tmp_path: Path) -> None:
    (tmp_path / "id").write_text(PRIVATE_KEY)
    line = only_fault(public_key=str(tmp_path / "id"))
    assert ".pub" in line
    assert SECRET not in line


def test_a_key_body_without_its_frame_is_not_printed_either() -> None:
    assert SECRET not in only_fault(public_key=f"{SECRET}\n{SECRET}")
