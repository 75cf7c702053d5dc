"""Checks of the programs on this computer, by their version; only Node.js itself starts Node.js."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from gpustation.access.programs import (
    AWS_CLI_PAGE,
    OLDEST_AWS_CLI,
    PLUGIN_PAGE,
    aws_cli_version,
)
from gpustation.console.program_version import NoVersionError, printed_version
from gpustation.doctor.finding import Finding, Mark, Subject

NODE = 22
"""Oldest major version of Node.js that still gets fixes (20 ended in 2026)."""
CDK = 2
"""Major version of the CDK CLI; npm's 3.0.0 is broken."""
_SETUP = "run `make setup`, then `. .venv/bin/activate`"


def cdk_cli(_subject: Subject) -> Finding:
    """The CDK CLI, without starting it: its version is in the package beside it."""
    path = shutil.which("cdk")
    if path is None:
        return Finding("CDK CLI", Mark.FAILED, "cdk is not on PATH", _SETUP)
    version = _package_version(Path(path).resolve(), "aws-cdk")
    if not version:
        return Finding("CDK CLI", Mark.UNKNOWN, f"{path}: its version cannot be read", _SETUP)
    if not version.startswith(f"{CDK}."):
        return Finding("CDK CLI", Mark.FAILED, f"{version}, and {CDK}.x is needed", _SETUP)
    wanted = _pinned(Path.cwd())
    if wanted and wanted != version:
        detail = f"{version}; this project is tested with {wanted}"
        return Finding("CDK CLI", Mark.WARNING, detail, _SETUP)
    return Finding("CDK CLI", Mark.OK, version)


def node(_subject: Subject) -> Finding:
    """Node.js, which the CDK needs."""
    found = _version("node", r"v(\d+)\.\d+\.\d+")
    if isinstance(found, Finding):
        return Finding("Node.js", found.mark, found.detail, _SETUP)
    if int(found[1]) < NODE:
        detail = f"{found[0]} gets no fixes any more; {NODE} or later does"
        return Finding("Node.js", Mark.FAILED, detail, _SETUP)
    return Finding("Node.js", Mark.OK, found[0])


def aws_cli(_subject: Subject) -> Finding:
    """The AWS CLI, which the printed commands use."""
    found = _version("aws", r"aws-cli/(\d+)\.(\d+)\.\S+")
    if isinstance(found, Finding):
        cure = f"the commands that deploys print need it: {AWS_CLI_PAGE}"
        return Finding("AWS CLI", _optional(found.mark), found.detail, cure)
    version = aws_cli_version(found[0])
    if version is not None and version < OLDEST_AWS_CLI:
        oldest = ".".join(map(str, OLDEST_AWS_CLI))
        detail = f"{found[0]}, and Session Manager needs {oldest} or later"
        return Finding("AWS CLI", Mark.WARNING, detail, f"install a later one: {AWS_CLI_PAGE}")
    return Finding("AWS CLI", Mark.OK, found[0])


def session_manager_plugin(_subject: Subject) -> Finding:
    """Session Manager's plug-in, without which there is no shell if port 22 is closed."""
    name = "Session Manager plug-in"
    found = _version("session-manager-plugin", r"\d+(?:\.\d+)+")
    if isinstance(found, Finding):
        cure = f"a shell without ssh_cidr needs it: {PLUGIN_PAGE}"
        return Finding(name, _optional(found.mark), found.detail, cure)
    return Finding(name, Mark.OK, found[0])


def _optional(mark: Mark) -> Mark:
    return Mark.WARNING if mark is Mark.FAILED else mark


def _version(program: str, pattern: str) -> re.Match[str] | Finding:
    """The version that a program prints; a finding if it is missing or prints none."""
    path = shutil.which(program)
    if path is None:
        return Finding(program, Mark.FAILED, f"{program} is not on PATH")
    try:
        text = printed_version(path)
    except NoVersionError as error:
        return Finding(program, Mark.UNKNOWN, str(error))
    found = re.search(pattern, text)
    if found is None:
        shown = " ".join(text.split())[:80] or "nothing"
        return Finding(program, Mark.UNKNOWN, f"{path} --version printed {shown!r}")
    return found


def _package_version(program: Path, package: str) -> str:
    """Version of the npm package that a program lies in; empty if there is none."""
    for folder in list(program.parents)[:3]:
        document = _read(folder / "package.json")
        if document.get("name") == package:
            return str(document.get("version", ""))
    return ""


def _pinned(folder: Path) -> str:
    """Version of the CDK CLI in the project's package.json; empty without one."""
    version = _read(folder / "package.json").get("dependencies", {}).get("aws-cdk", "")
    return version if re.fullmatch(r"\d+\.\d+\.\d+", str(version)) else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
