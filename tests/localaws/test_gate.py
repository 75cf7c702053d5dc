"""Who is served: processes that hold this start's secrets, no other user and no web page."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from test_machines import COUNTS_BOOTS, launch

from localaws import LocalAws
from localaws.account.__main__ import listen
from localaws.machines.booted import network
from localaws.machines.processes import _living
from tests.support.probe_stack import UBUNTU, Stack

SESSION = 3
EVIL = "https://evil.example"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TRUST = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "lambda.amazonaws.com"},
}
CREATE_ROLE = urlencode(
    {
        "Action": "CreateRole",
        "Version": "2010-05-08",
        "RoleName": "planted",
        "AssumeRolePolicyDocument": json.dumps({"Statement": [TRUST]}),
    }
)
WHO = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can become another user, by setpriv",
)


class Answer:
    """What came back; none of it may be readable for a web page."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.text = answer.read().decode(errors="replace")
        names = [name.lower() for name, _ in answer.getheaders()]
        assert not [name for name in names if name.startswith("access-control-")]


def send(
    aws: LocalAws, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None
) -> Answer:
    """A request exactly as given, which no library mends; the Host is the right one by default."""
    address = urlsplit(aws.url)
    connection = http.client.HTTPConnection("127.0.0.1", address.port or 0, timeout=300)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    given = {"Host": address.netloc, "Content-Length": str(len(body.encode())), **(headers or {})}
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    try:
        return Answer(connection.getresponse())
    finally:
        connection.close()


def signed(
    aws: LocalAws,
    service: str,
    body: str,
    *,
    key: str = "",
    secret: str = "",
    host: str = "",
) -> dict[str, str]:
    """Headers of a form that is signed, by the account's root unless another key is given."""
    host = host or urlsplit(aws.url).netloc
    request = AWSRequest("POST", f"http://{host}/", {**FORM, "Host": host}, body)
    known = aws.exports
    pair = (key or known["AWS_ACCESS_KEY_ID"], secret or known["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(Credentials(*pair), service, aws.region).add_auth(request)
    return dict(request.headers.items())


def roles(aws: LocalAws) -> list[str]:
    return [role["RoleName"] for role in aws.client("iam").list_roles()["Roles"]]


@pytest.fixture(autouse=True)
def nothing_planted(aws: LocalAws) -> Iterator[None]:
    yield
    assert "planted" not in roles(aws)


def test_a_signed_request_is_served_by_every_name_of_the_loopback(aws: LocalAws) -> None:
    port = urlsplit(aws.url).port
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        headers = signed(aws, "sts", WHO, host=f"{name}:{port}")
        assert send(aws, "POST", "/", WHO, headers).status == 200


@pytest.mark.parametrize("host", ["rebound.evil.example", "127.0.0.1.evil.example", "a.b.c"])
def test_fails_when_the_host_is_another(aws: LocalAws, host: str) -> None:
    port = urlsplit(aws.url).port
    for name in (f"{host}:{port}", host, f"localhost:{port}.{host}", "localhost", ""):
        headers = signed(aws, "iam", CREATE_ROLE, host=name) | {"Host": name}
        answer = send(aws, "POST", "/", CREATE_ROLE, headers)
        assert (answer.status, "Host header" in answer.text) == (403, True), name


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost"])
def test_fails_when_a_web_page_asks(aws: LocalAws, origin: str) -> None:
    """With a signature even: a page of this very server has none, and may not borrow one."""
    headers = signed(aws, "iam", CREATE_ROLE) | {"Origin": origin}
    assert send(aws, "POST", "/", CREATE_ROLE, headers).status == 403
    bearer = {"Authorization": f"Bearer {aws._credentials.control}", "Origin": origin}
    assert send(aws, "POST", "/_localaws/machine_silent", '{"on": true}', bearer).status == 403
    ask = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for path in ("/", "/2015-03-31/functions", "/_localaws/reset", "/bucket/key"):
        assert send(aws, "OPTIONS", path, headers=ask).status == 403


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/", FORM),
        ("POST", "/", {"Content-Type": "text/plain"}),
        ("POST", "/", FORM | {"Authorization": "Bearer x"}),
        ("POST", "/", FORM | {"X-Amz-Target": "AmazonSSM.DescribeParameters"}),
        ("POST", "/", FORM | {"Authorization": "AWS planted:x"}),
        ("POST", "/?" + CREATE_ROLE, FORM),
        ("GET", "/?" + CREATE_ROLE, {"Sec-Fetch-Dest": "image"}),
        ("POST", "/2015-03-31/functions", {"Content-Type": "text/plain"}),
        ("OPTIONS", "/", {}),
    ],
)
def test_fails_without_credentials(
    aws: LocalAws, method: str, path: str, headers: dict[str, str]
) -> None:
    assert send(aws, method, path, CREATE_ROLE, headers).status == 403


@pytest.mark.parametrize(
    "token",
    [
        {"Action": "AssumeRoleWithSAML", "SAMLAssertion": "x"},
        {"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": "x"},
    ],
)
def test_fails_when_sts_is_called_with_a_token_instead_of_a_signature(
    aws: LocalAws, token: dict[str, str]
) -> None:
    """AWS takes these two calls without a signature; here nobody can issue a token."""
    provider = {"PrincipalArn": "arn:aws:iam::123456789012:saml-provider/x"}
    role = {"RoleArn": "arn:aws:iam::123456789012:role/x", "RoleSessionName": "x"}
    body = urlencode(token | provider | role | {"Version": "2011-06-15"})
    answer = send(aws, "POST", "/", body, FORM)
    assert (answer.status, "Missing Authentication Token" in answer.text) == (403, True)


@pytest.mark.parametrize("path", ["", "planted", "planted/key", "planted?list-type=2"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "HEAD", "DELETE"])
def test_fails_when_a_bucket_is_asked_without_credentials(
    aws: LocalAws, method: str, path: str
) -> None:
    assert send(aws, method, f"/{path}", "x").status == 403
    port = urlsplit(aws.url).port
    host = {"Host": f"planted.localhost:{port}"}
    assert send(aws, method, f"/{path}", WHO, FORM | host).status == 403


@pytest.mark.parametrize("key", ["root", "test", "123456789012", "AKIAIOSFODNN7EXAMPLE"])
def test_fails_when_the_signature_is_made_with_another_secret(aws: LocalAws, key: str) -> None:
    """What ministack takes for the account's root, whatever the signature."""
    key = aws.exports["AWS_ACCESS_KEY_ID"] if key == "root" else key
    for secret in ("local", "test"):
        headers = signed(aws, "iam", CREATE_ROLE, key=key, secret=secret)
        assert send(aws, "POST", "/", CREATE_ROLE, headers).status == 403
    right = signed(aws, "iam", CREATE_ROLE)
    assert send(aws, "POST", "/", CREATE_ROLE + "&Path=/x/", right).status == 403


def test_fails_when_a_session_names_the_root_beside_itself(aws: LocalAws) -> None:
    """Whose signature is checked is who acts: ministack reads the first of several keys."""
    root = aws.exports["AWS_ACCESS_KEY_ID"]
    session = aws.client("sts").get_session_token()["Credentials"]
    pair = {"key": session["AccessKeyId"], "secret": session["SecretAccessKey"]}
    headers = signed(aws, "iam", CREATE_ROLE, **pair)
    scheme, _, parts = headers["Authorization"].partition(" ")
    token = {"X-Amz-Security-Token": session["SessionToken"]}
    scope = parts.partition("/")[2].partition(",")[0]
    twice = f"{scheme} Credential={root}/{scope}, {parts}"
    for authorization in (twice, f"{scheme} {parts}, Credential={root}/{scope}"):
        changed = headers | token | {"Authorization": authorization}
        assert send(aws, "POST", "/", CREATE_ROLE, changed).status == 403


def test_error_of_a_wrong_key_is_one_that_the_sdk_reads(aws: LocalAws) -> None:
    session = boto3.session.Session("AKIAIOSFODNN7EXAMPLE", "x", region_name=aws.region)
    for service, call in (
        ("sts", "get_caller_identity"),
        ("s3", "list_buckets"),
        ("ec2", "describe_instances"),
        ("ssm", "describe_parameters"),
        ("lambda", "list_functions"),
    ):
        make: Any = session.client
        with pytest.raises(ClientError) as refused:
            getattr(make(service, endpoint_url=aws.url), call)()
        answer = refused.value.response
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
        assert answer["Error"]["Code"] not in ("403", "Unknown"), service


def test_a_presigned_address_opens_one_object_for_its_time(aws: LocalAws) -> None:
    sign = Config(signature_version="s3v4")
    make: Any = boto3.session.Session(
        aws.exports["AWS_ACCESS_KEY_ID"], aws.exports["AWS_SECRET_ACCESS_KEY"], None, aws.region
    ).client
    s3 = make("s3", endpoint_url=aws.url, config=sign)
    s3.create_bucket(Bucket="presigned")
    s3.put_object(Bucket="presigned", Key="a key/ü+", Body=b"x")
    where = {"Bucket": "presigned", "Key": "a key/ü+"}
    url = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=60)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"
    past = s3.generate_presigned_url("get_object", Params=where, ExpiresIn=1)
    time.sleep(2)  # botocore's CRT signs none that is in the past already
    other = url.replace("/presigned/", "/presigned/other")
    for refused in (past, other, url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(refused)
    s3.delete_object(**where)
    s3.delete_bucket(Bucket="presigned")


def test_knobs_need_the_secret(aws: LocalAws) -> None:
    right = {"Authorization": f"Bearer {aws._credentials.control}"}
    path, body = "/_localaws/fault", '[["GetParameter", "deny"], {}]'
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}, FORM):
        assert send(aws, "POST", path, body, headers).status == 403
    assert send(aws, "GET", path, body, right).status == 403
    assert send(aws, "POST", path, body, right | {"Host": "evil.example"}).status == 403
    aws.client("ssm").get_parameter(Name=UBUNTU)


@pytest.mark.parametrize("path", ["reset", "health", "config", "cfn-signal/x", "cfn-response/x"])
def test_paths_of_ministack_itself_are_closed(aws: LocalAws, path: str) -> None:
    for method in ("GET", "POST", "PUT"):
        for folder in ("_ministack", "_localstack"):
            assert send(aws, method, f"/{folder}/{path}").status == 403
    assert send(aws, "GET", "/health").status == 403


def test_a_signal_with_a_guessed_address_uses_up_no_planned_fault(
    aws: LocalAws, stack: Stack
) -> None:
    handle = {"Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"}}
    assert stack.create(handle) == "CREATE_COMPLETE"
    path = urlsplit(stack.physical_id("Handle")).path
    signal = '{"Status": "SUCCESS", "UniqueId": "a", "Data": "", "Reason": ""}'
    aws.control.fault("Signal", "throttle", times=1)
    assert send(aws, "PUT", path[:-1], signal).status == 403
    assert send(aws, "GET", path, signal).status == 403
    assert send(aws, "PUT", path, signal, {"Origin": EVIL}).status == 403
    assert send(aws, "PUT", path, signal).status == 503
    assert send(aws, "PUT", path, signal).status == 200


def test_no_answer_is_readable_for_web_pages(aws: LocalAws) -> None:
    """`send` looks at the headers of every answer; here they are those of services."""
    assert send(aws, "POST", "/", WHO, signed(aws, "sts", WHO)).status == 200
    listing = aws.client("s3").list_buckets()["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in listing if name.startswith("access-control-")]


def test_web_sockets_are_refused(aws: LocalAws) -> None:
    """A message broker's address: ministack accepts it even where that service is off."""
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(),
        "Sec-WebSocket-Version": "13",
    }
    port = urlsplit(aws.url).port
    for host in (f"a-ats.iot.us-east-1.localhost:{port}", f"localhost:{port}"):
        broker = upgrade | {"Host": host, "Sec-WebSocket-Protocol": "mqtt"}
        assert send(aws, "GET", "/mqtt", headers=broker).status == 403


def function(code: str) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("h.py", code)
    return base64.b64encode(packed.getvalue()).decode()


def test_a_function_has_random_credentials_and_none_of_the_account(aws: LocalAws) -> None:
    iam, functions = aws.client("iam"), aws.client("lambda")
    role = iam.create_role(
        RoleName="function", AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]})
    )["Role"]["Arn"]
    code = "import os\ndef f(event, context):\n    return dict(os.environ)\n"
    arn = functions.create_function(
        FunctionName="tells",
        Runtime="python3.12",
        Role=role,
        Handler="h.f",
        Code={"ZipFile": base64.b64decode(function(code))},
    )["FunctionArn"]
    try:
        found = json.load(functions.invoke(FunctionName="tells", Payload=b"{}")["Payload"])
    finally:
        functions.delete_function(FunctionName="tells")
        iam.delete_role(RoleName="function")
    digest = hashlib.sha256(f"{arn}:{role}".encode()).hexdigest()
    guessed = hashlib.sha256(f"secret:{digest}".encode()).hexdigest()
    assert found["AWS_SECRET_ACCESS_KEY"] not in ("", guessed)
    secrets = {aws._credentials.secret_access_key, aws._credentials.control}
    assert not secrets & set(found.values())


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_no_secret_is_on_a_command_line_or_in_a_file_for_others(aws: LocalAws) -> None:
    secrets = [aws._credentials.secret_access_key.encode(), aws._credentials.control.encode()]
    for process in _living(SESSION, aws.pid):
        line = Path(f"/proc/{process}/cmdline").read_bytes()
        assert not [secret for secret in secrets if secret in line]
    assert aws.log.parent.stat().st_mode & 0o777 == 0o700
    assert not [secret for secret in secrets if secret in aws.log.read_bytes()]
    assert "control=" not in repr(aws._credentials)


def test_nobody_else_can_listen_where_localhost_is_looked_for_first(aws: LocalAws) -> None:
    port = urlsplit(aws.url).port
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            squatter.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with socket.socket(socket.AF_INET6) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            squatter.bind(("::1", port))


def test_takes_another_port_when_somebody_listens_there_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket(socket.AF_INET6) as squatter:
        try:
            squatter.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
        taken = squatter.getsockname()[1]
        plain, ports = socket.create_server, iter([taken])

        def create_server(address: tuple[str, int], **more: Any) -> socket.socket:
            return plain((address[0], next(ports, 0)), **more)

        monkeypatch.setattr(socket, "create_server", create_server)
        listener, held = listen()
        assert listener.getsockname()[1] != taken
        assert held is not None
        assert held.getsockname()[1] == listener.getsockname()[1]
        listener.close()
        held.close()


OTHER_USER = """
import json, os, pathlib, socket, sys, urllib.error, urllib.request
told = json.loads(sys.argv[1])
found = {"user": os.getuid()}
def ask(name, url, data=None, headers={}, method=None):
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            found[name] = answer.status
    except urllib.error.HTTPError as error:
        found[name] = error.code
    except OSError as error:
        found[name] = type(error).__name__
def read(name, path):
    try:
        found[name] = len(pathlib.Path(path).read_bytes())
    except OSError as error:
        found[name] = type(error).__name__
key = f"AWS4-HMAC-SHA256 Credential={told['key']}/20260101/us-east-1/iam/aws4_request, "
key += "SignedHeaders=host, Signature=0"
ask("role", told["url"], told["role"].encode(), {"Authorization": key})
ask("knob", told["url"] + "/_localaws/reset", b"{}")
ask("metadata", told["metadata"] + "/latest/meta-data/instance-id")
ask("metadata token", told["metadata"] + "/latest/api/token", b"",
    {"X-aws-ec2-metadata-token-ttl-seconds": "60"}, "PUT")
read("log", told["log"])
read("environment", f"/proc/{told['pid']}/environ")
print(json.dumps(found))
"""


@as_root
def test_another_user_of_this_computer_gets_nothing(aws: LocalAws) -> None:
    box = launch(aws, COUNTS_BOOTS)
    metadata = urlsplit(aws.control.metadata_url(box))
    told = {
        "url": aws.url,
        "key": aws.exports["AWS_ACCESS_KEY_ID"],
        "role": CREATE_ROLE,
        "metadata": f"http://{metadata.netloc}",
        "log": str(aws.log),
        "pid": aws.pid,
    }
    run = subprocess.run(
        [*AS_NOBODY, OTHER_USER, json.dumps(told)], capture_output=True, text=True, timeout=60
    )
    aws.client("ec2").terminate_instances(InstanceIds=[box])
    found = json.loads(run.stdout or "{}")
    assert found.pop("user", 0) != 0, run.stderr
    refused = dict.fromkeys(("role", "knob", "metadata", "metadata token"), 403)
    assert found == refused | dict.fromkeys(("log", "environment"), "PermissionError")


AS_NOBODY = (
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("/usr/bin/env", "-i", "/usr/bin/python3", "-c"),
)
SAY = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10); "
SAY += "s.sendall(b'x'); sys.stdout.buffer.write(s.recv(9))"


@as_root
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="machines boot on Linux only")
def test_a_forwarded_port_is_for_the_user_who_made_it() -> None:
    reached = []

    def connect() -> socket.socket:
        near, far = socket.socketpair()
        reached.append(far)
        far.sendall(b"machine")
        far.shutdown(socket.SHUT_WR)
        return near

    forwarder = network.Forwarder(network.listen("127.0.0.1", 0), connect, own=True)
    say = [SAY, str(forwarder.port)]
    try:
        other = subprocess.run([*AS_NOBODY, *say], capture_output=True, timeout=300)
        assert (other.stdout, reached) == (b"", [])
        own = subprocess.run([sys.executable, "-c", *say], capture_output=True, timeout=300)
        assert own.stdout == b"machine"
    finally:
        forwarder.close()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="machines boot on Linux only")
def test_a_connection_that_nobody_holds_any_more_is_nobodys() -> None:
    """The kernel's table gives it to root."""
    with network.listen("127.0.0.1", 0) as listener:
        listener.listen()
        other = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            assert network.peer_user(accepted) == os.geteuid()
            other.close()
            assert network.peer_user(accepted) is None


def test_whoever_imports_the_inside_leaves_no_key_in_tmp() -> None:
    code = "from localaws.account import ministack_names; ministack_names.check(); import sys; "
    code += "print(sys.modules['ministack.services.cognito']._STATE_DIR)"
    environment = {name: value for name, value in os.environ.items() if name != "STATE_DIR"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == f"{os.devnull}/ministack"
