"""Fetches the settings and scripts of this machine, and sends its signals to CloudFormation.

Part of the user data, so it is small and needs only the standard library of Python 3.8 or newer.
The user data holds it without docstrings, comments, annotations and blank lines
(gpustation/synth/user_data.py), and never changes on an existing machine.

Usage: agent.py fetch | report-failure
       agent.py signal STEP --status STATUS --unique-id ID --reason TEXT [--data TEXT]
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from email.utils import mktime_tz, parsedate_tz
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import HTTPErrorProcessor, Request, build_opener

ROOT = os.environ.get("GPUSTATION_ROOT", "")
OPT = Path(ROOT + "/opt/gpustation")
STATE = Path(ROOT + "/var/lib/gpustation")
#: Time of the last retry; a new role can take a minute until it works.
DEADLINE = time.monotonic() + float(os.environ.get("GPUSTATION_RETRY_SECONDS", "120"))
#: Seconds to add to this machine's clock; not 0 after AWS has refused a signature for the time.
CLOCK = [0.0]
#: Characters of a reason; CloudFormation shows little more.
TEXT_LIMIT = 900


class AgentError(Exception):
    """A failure that retries did not fix; its text is shown to the person."""


def log(text: str) -> None:
    """Print a line, unbuffered, for the journal."""
    print("gpustation: " + text, flush=True)


class EveryAnswer(HTTPErrorProcessor):
    """Returns every response unchanged. A redirect is not followed: it could leak a secret."""

    http_response = https_response = lambda *words: words[-1]


def call(what: str, request: Any, read: Any = bytes, denied: bool = True) -> Any:
    """Return the result of `read` for the response to `request()`, which is called for each try.

    Retries network errors, 5xx, throttling and errors of `read`; with `denied`, also 403 and 404,
    and requests that AWS refuses because of this machine's clock, then with AWS's time.

    Raises:
        AgentError: The request failed until DEADLINE, or with an error that is not retried.
    """
    pause = 0.5
    while True:
        again = True
        try:
            with build_opener(EveryAnswer).open(request(), timeout=20) as answer:
                body, code = answer.read(), answer.status
            if code < 300:
                return read(body)
            text = " ".join(body.decode("utf-8", "replace").split())[:300]
            fault = f"answered {code}: {text if code > 399 else 'redirects are not followed'}"
            again = code >= 500 or code == 429 or "Throttl" in text
            if denied:
                again = again or code in (403, 404) or "AccessDenied" in text
                date = parsedate_tz(answer.headers["Date"])
                off = mktime_tz(date) - time.time() if date else 0
                if abs(off) > 240 and ("Skew" in text or "Signature" in text):
                    again, CLOCK[0] = True, off
                    fault = f"finds the clock here {-off:.0f} s ahead and {fault}"
        except (OSError, HTTPException) as error:
            fault = f"did not answer: {error}"
        except (ValueError, LookupError, TypeError) as error:
            fault = f"gave no usable answer: {error!r}"
        if not again or time.monotonic() + pause > DEADLINE:
            raise AgentError(f"{what} {fault}")
        log(f"{what} {fault}; trying again in {pause:g} s")
        time.sleep(pause)
        pause = min(pause * 2, 15)


def usable(body: bytes) -> Any:
    """Return the role's credentials; a new role has none yet, and Code says why."""
    keys = json.loads(body)
    if keys["Code"] != "Success":
        raise ValueError("no credentials yet, " + keys["Code"])
    return keys


def credentials() -> dict[str, str]:
    """Return the role's credentials from the instance metadata service, version 2."""
    base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"

    def ask(path: str, headers: dict[str, str], read: Any, method: str = "GET") -> Any:
        made = Request(base + "/latest/" + path, headers=headers, method=method)
        return call("the metadata service", lambda: made, read)

    def word(body: bytes) -> str:
        return body.decode().split()[0]

    token = ask("api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "300"}, word, "PUT")
    headers = {"X-aws-ec2-metadata-token": token}
    roles = "meta-data/iam/security-credentials/"
    return ask(roles + ask(roles, headers, word), headers, usable)  # type: ignore[no-any-return]


def sign(request: Request, region: str, service: str, keys: dict[str, str], stamp: str) -> None:
    """Add AWS Signature Version 4; the path of the URL must be percent-encoded."""
    parts = urlsplit(request.full_url)
    body: Any = request.data or b""
    digest = hashlib.sha256(body).hexdigest()
    request.add_header("X-Amz-Date", stamp)
    request.add_header("X-Amz-Security-Token", keys["Token"])
    if service == "s3":
        request.add_header("X-Amz-Content-SHA256", digest)
    signed = {name.lower(): value for name, value in request.header_items()}
    signed["host"] = parts.netloc
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    what = [request.get_method(), parts.path, parts.query, lines, names, digest]
    scope = [stamp[:8], region, service, "aws4_request"]
    text = ["AWS4-HMAC-SHA256", stamp, "/".join(scope)]
    text.append(hashlib.sha256("\n".join(what).encode()).hexdigest())
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in [*scope, "\n".join(text)]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    made = f"{text[0]} Credential={keys['AccessKeyId']}/{text[2]}"
    request.add_header("Authorization", f"{made}, SignedHeaders={names}, Signature={key.hex()}")


def aws(what: str, region: str, service: str, path: str, bucket: str, read: Any, **ask: Any) -> Any:
    """Call AWS, or the endpoint in AWS_ENDPOINT_URL, the variable of the SDKs."""
    suffix = ".cn" if region.startswith("cn-") else ""
    host = f"{bucket}.{service}" if bucket else service
    url = f"https://{host}.{region}.amazonaws.com{suffix}"
    if os.environ.get("AWS_ENDPOINT_URL"):
        url = os.environ["AWS_ENDPOINT_URL"].rstrip("/") + (bucket and "/" + bucket)

    def request() -> Request:
        made = Request(url + path, **ask)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + CLOCK[0]))
        sign(made, region, service, credentials(), stamp)
        return made

    return call(what, request, read)


def read_settings(region: str, name: str) -> dict[str, Any]:
    """Return the content of the settings parameter."""
    kind = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "AmazonSSM.GetParameter"}
    body = json.dumps({"Name": name}).encode()

    def read(answer: bytes) -> dict[str, Any]:
        return dict(json.loads(json.loads(answer)["Parameter"]["Value"]))

    what = f"settings parameter {name}"
    answer = aws(what, region, "ssm", "/", "", read, data=body, headers=kind)
    return answer  # type: ignore[no-any-return]


def unpack(data: bytes, folder: Path) -> None:
    """Write the archive's files; anything but files and folders below `folder` is refused."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = Path(member.name)
            file = archive.extractfile(member) if member.isfile() else None
            if path.is_absolute() or ".." in path.parts or not (file or member.isdir()):
                raise AgentError(f"scripts archive holds {member.name!r}, which is refused")
            if file:
                (folder / path).parent.mkdir(0o777, True, True)
                (folder / path).write_bytes(file.read())


def fetch_scripts(region: str, bucket: str, key: str, sha256: str) -> str:
    """Return the name of the scripts' folder; download it unless it exists."""
    name = "scripts-" + sha256[:12]
    if (OPT / name).is_dir():
        return name
    what = f"scripts s3://{bucket}/{key}"
    data = aws(what, region, "s3", "/" + quote(key, safe="/-_.~"), bucket, bytes)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise AgentError(f"{what} have sha256 {digest}, but the settings say {sha256}")
    draft = Path(tempfile.mkdtemp(dir=OPT))
    try:
        unpack(data, draft)
        draft.chmod(0o755)
        os.sync()  # without it, a power cut after the rename could leave empty files
        draft.rename(OPT / name)
    finally:
        shutil.rmtree(draft, True)
    return name


def write(path: Path, value: object) -> None:
    """Replace a JSON file atomically."""
    path.parent.mkdir(0o777, True, True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(value))
    draft.replace(path)


def fetch(known: dict[str, Any]) -> int:
    """Update settings and scripts; if that fails, continue with those of an earlier boot."""
    started = time.monotonic()
    try:
        settings = read_settings(known["region"], known["settings_parameter"])
        name = fetch_scripts(known["region"], **settings["scripts"])
        write(STATE / "settings.json", settings)
        link = OPT / "scripts.new"
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        link.replace(OPT / "scripts")
    # Any error, because an error without a report would end only with the stack's timeout
    except Exception as error:
        text = str(error) if isinstance(error, AgentError) else repr(error)
        log("error: " + text)
        if (STATE / "settings.json").exists() and (OPT / "scripts/run.sh").exists():
            log("warning: going on with the settings and scripts of an earlier boot")
            return 0
        seconds = round(time.monotonic() - started)
        reason = f"phase fetch failed after {seconds} s: {text}"
        write(STATE / "failure.json", {"phase": "fetch", "step": "driver", "reason": reason})
        return 1
    log(f"settings and {name} are in place")
    return 0


def plain(text: str) -> str:
    """Return `text` as one line of printable ASCII, cut to TEXT_LIMIT."""
    text = " | ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:TEXT_LIMIT]


def signal(known: Any, step: str, status: str, unique_id: str, reason: str, data: Any = "") -> int:
    """Send the only signal of a step; its presigned URL requires an empty Content-Type."""
    mark = STATE / "signaled" / step
    if mark.exists():
        log(f"step {step} has had its signal")
        return 0
    sent = {"Status": status, "UniqueId": plain(unique_id), "Reason": plain(reason)}
    sent["Data"] = plain(data).replace('"', "'").replace("\\", "/")
    url, body = known["signals"][step], json.dumps(sent).encode()
    made = Request(url, body, {"Content-Type": ""}, method="PUT")
    try:
        call(f"signal address of {step}", lambda: made, denied=False)
    except AgentError as error:
        log(f"error: {error}")
        return 1
    write(mark, sent)
    log(f"step {step}: signaled {status}")
    return 0


def report_failure(known: dict[str, Any]) -> int:
    """Signal the failed step with the reason in failure.json."""
    left = [step for step in known["signals"] if not (STATE / "signaled" / step).exists()]
    try:
        failure = json.loads((STATE / "failure.json").read_bytes())
        words = failure["step"], "FAILURE", failure["phase"], failure["reason"]
    # The file is missing, or incomplete after a full disk or a power cut
    except Exception:
        if not left or (STATE / "undelivered").exists():
            log("no phase failed; a missing signal is sent at the next boot")
            return 0
        reason = "the set-up stopped without a word; its journal ends: " + journal()
        words = left[0], "FAILURE", "setup", reason
    return signal(known, *words)


def journal() -> str:
    """Return the last lines of the set-up in systemd's journal."""
    command = "journalctl -u gpustation.service -n 12 --no-pager -o cat".split()  # noqa: SIM905
    try:
        return subprocess.check_output(command, timeout=20).decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):
        return "(nothing)"


def main() -> int:
    """Run the command line: fetch, report-failure, or signal STEP --OPTION VALUE..."""
    command, *words = sys.argv[1:]
    known = json.loads(Path(ROOT + "/etc/gpustation/bootstrap.json").read_text())
    if command == "fetch":
        return fetch(known)
    if command == "report-failure":
        return report_failure(known)
    names = [word[2:].replace("-", "_") for word in words[1::2]]
    # strict=True came with Python 3.10
    return signal(known, words[0], **dict(zip(names, words[2::2])))  # noqa: B905


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:
        sys.exit(f"gpustation: error: {error!r}")
