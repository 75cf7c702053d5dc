"""A machine's boots and its metadata service."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws
from tests.support.probe_stack import G_QUOTA, UBUNTU, Stack, instance, network, role

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
COUNTS_BOOTS = """#cloud-boothook
#!/bin/bash
mkdir -p "$GPUSTATION_ROOT/etc"
echo boot >> "$GPUSTATION_ROOT/etc/boots"
echo "boot $(wc -l < "$GPUSTATION_ROOT/etc/boots") faults $LOCALAWS_FAULTS"
"""


def launch(aws: LocalAws, script: str, **more: Any) -> str:
    image = aws.client("ssm").get_parameter(Name=UBUNTU)["Parameter"]["Value"]
    one = {"ImageId": image, "InstanceType": "g4dn.xlarge", "MinCount": 1, "MaxCount": 1}
    answer = aws.client("ec2").run_instances(**one, UserData=script, **more)
    return str(answer["Instances"][0]["InstanceId"])


def read(url: str, **headers: str) -> str:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def status(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> int:
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def runs(process: str) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_user_data_runs_at_every_boot_on_the_same_disk(aws: LocalAws) -> None:
    ec2, control = aws.client("ec2"), aws.control
    box = launch(aws, COUNTS_BOOTS)
    assert control.machine_idle(box)
    control.machine_fault({"modprobe": {"exit": 1}})
    ec2.stop_instances(InstanceIds=[box])
    ec2.start_instances(InstanceIds=[box])
    assert control.machine_idle(box)
    assert aws.console(box) == 'boot 1 faults {}\nboot 2 faults {"modprobe": {"exit": 1}}\n'
    root = Path(control.machine_root(box))
    ec2.terminate_instances(InstanceIds=[box])
    assert not root.exists()
    assert aws.console(box).startswith("boot 1")


def test_stopped_machine_stops_running_and_answering(aws: LocalAws) -> None:
    box = launch(aws, "#!/bin/bash\nsleep 60 &\necho $$ $!\nwait\n")
    assert not aws.control.machine_idle(box, seconds=0.3)
    processes = aws.console(box).split()
    url = aws.control.metadata_url(box)
    aws.client("ec2").stop_instances(InstanceIds=[box])
    for process in processes:
        assert not runs(process)
    assert aws.control.machine_idle(box, seconds=5)
    with pytest.raises(ValueError, match="does not run"):
        aws.control.metadata_url(box)
    with pytest.raises(urllib.error.URLError):
        read(url)
    aws.client("ec2").terminate_instances(InstanceIds=[box])


def test_silent_machine_does_nothing(aws: LocalAws) -> None:
    aws.control.machine_silent(True)
    box = launch(aws, COUNTS_BOOTS)
    assert aws.control.machine_idle(box)
    assert aws.console(box) == ""
    aws.client("ec2").terminate_instances(InstanceIds=[box])


def test_metadata_needs_a_token_where_the_instance_says_so(aws: LocalAws) -> None:
    box = launch(aws, COUNTS_BOOTS, MetadataOptions={"HttpTokens": "required"})
    base = aws.control.metadata_url(box)
    about = f"{base}/latest/meta-data/instance-id"
    assert status(about) == 401
    assert status(about, headers={TOKEN: "guess"}) == 401
    assert status(f"{base}/latest/api/token", "PUT") == 400
    assert status(f"{base}/latest/api/token", "PUT", {TTL: "21601"}) == 400
    request = urllib.request.Request(f"{base}/latest/api/token", headers={TTL: "60"}, method="PUT")
    with urllib.request.urlopen(request) as answer:
        token = answer.read().decode()
    assert read(about, **{TOKEN: token}) == box
    document = json.loads(
        read(f"{base}/latest/dynamic/instance-identity/document", **{TOKEN: token})
    )
    assert (document["region"], document["instanceType"]) == ("us-east-1", "g4dn.xlarge")
    assert status(f"{base}/latest/meta-data/nothing", headers={TOKEN: token}) == 404
    aws.client("ec2").terminate_instances(InstanceIds=[box])


def test_metadata_is_for_its_own_machine(aws: LocalAws) -> None:
    box = launch(aws, COUNTS_BOOTS)
    base = aws.control.metadata_url(box)
    about, ask = f"{base}/latest/meta-data/instance-id", {TTL: "60"}
    port = urlsplit(base).port
    assert read(about) == box
    # Whoever has only the port, on this computer
    for path in ("/latest/meta-data/instance-id", "/latest/user-data", "/", "/x/latest/user-data"):
        assert status(f"http://127.0.0.1:{port}{path}") == 403
    assert status(f"http://127.0.0.1:{port}/latest/api/token", "PUT", ask) == 403
    # A web page, with or without a name of its own for this address
    for foreign in ({"Host": f"evil.example:{port}"}, {"Origin": "https://evil.example"}):
        assert status(about, headers=foreign) == 403
        assert status(f"{base}/latest/api/token", "PUT", ask | foreign) == 403
    # Whom a proxy on the machine speaks for, as on EC2
    assert status(f"{base}/latest/api/token", "PUT", ask | {"X-Forwarded-For": "10.0.0.1"}) == 403
    aws.client("ec2").terminate_instances(InstanceIds=[box])


def machine_with_role(stack: Stack, **allowed: Any) -> dict[str, str]:
    """The credentials that a machine's metadata service hands out."""
    resources = {
        **network(),
        "Role": role("ec2", **allowed),
        "Profile": {
            "Type": "AWS::IAM::InstanceProfile",
            "Properties": {"Roles": [{"Ref": "Role"}]},
        },
        "Box": instance(IamInstanceProfile={"Ref": "Profile"}),
        "Mine": {"Type": "AWS::SSM::Parameter", "Properties": PLAIN | {"Name": "/probe/mine"}},
        "Other": {"Type": "AWS::SSM::Parameter", "Properties": PLAIN | {"Name": "/probe/other"}},
    }
    assert stack.create(resources) == "CREATE_COMPLETE"
    base = stack.aws.control.metadata_url(stack.physical_id("Box"))
    listing = f"{base}/latest/meta-data/iam/security-credentials/"
    assert read(listing) == stack.physical_id("Role")
    found: dict[str, str] = json.loads(read(listing + stack.physical_id("Role")))
    return found


PLAIN = {"Type": "String", "Value": "settings"}


def test_the_role_of_a_machine_may_do_what_its_policy_says_and_no_more(
    stack: Stack, aws: LocalAws
) -> None:
    mine = f"arn:aws:ssm:{aws.region}:{aws.account}:parameter/probe/mine"
    given = machine_with_role(stack, Action="ssm:GetParameter", Resource=mine)
    session = boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["Token"], aws.region
    )
    ssm = session.client("ssm", endpoint_url=aws.url)
    assert ssm.get_parameter(Name="/probe/mine")["Parameter"]["Value"] == "settings"
    with pytest.raises(ClientError, match="AccessDenied"):
        ssm.get_parameter(Name="/probe/other")
    with pytest.raises(ClientError, match="AccessDenied"):
        session.client("service-quotas", endpoint_url=aws.url).get_service_quota(
            ServiceCode="ec2", QuotaCode="L-DB2E81BA"
        )


def test_fails_when_a_request_is_signed_with_another_secret(stack: Stack, aws: LocalAws) -> None:
    given = machine_with_role(stack, Action="ssm:*", Resource="*")
    session = boto3.session.Session(given["AccessKeyId"], "wrong", given["Token"], aws.region)
    with pytest.raises(ClientError, match="signature"):
        session.client("ssm", endpoint_url=aws.url).get_parameter(Name="/probe/mine")


def test_reading_a_quota_is_not_allowed_by_naming_it(stack: Stack, aws: LocalAws) -> None:
    quota = f"arn:aws:servicequotas:{aws.region}:{aws.account}:ec2/{G_QUOTA}"
    given = machine_with_role(stack, Action="servicequotas:*", Resource=quota)
    quotas = boto3.session.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["Token"], aws.region
    ).client("service-quotas", endpoint_url=aws.url)
    asked = {"ServiceCode": "ec2", "QuotaCode": G_QUOTA}
    with pytest.raises(ClientError, match="AccessDenied"):
        quotas.get_service_quota(**asked)
    # An account's first request makes a service-linked role, which the machine may not
    with contextlib.suppress(ClientError):
        aws.client("service-quotas").request_service_quota_increase(
            ServiceCode="ec2", QuotaCode="L-417A185B", DesiredValue=80
        )
    quotas.request_service_quota_increase(**asked, DesiredValue=80)
