"""Programs that the command needs on the person's computer, and how to install what is missing."""

from __future__ import annotations

import re
import shutil

from gpustation.console.errors import CommandError
from gpustation.console.program_version import NoVersionError, printed_version

OLDEST_AWS_CLI = (1, 16, 12)
"""The first with ``aws ssm start-session`` (Systems Manager user guide, "Install the plugin")."""
_DOCS = "https://docs.aws.amazon.com"
PLUGIN_PAGE = (
    f"{_DOCS}/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)
AWS_CLI_PAGE = f"{_DOCS}/cli/latest/userguide/getting-started-install.html"
_VERSION = re.compile(r"aws-cli/(\d+)\.(\d+)\.(\d+)")


class NoSessionManagerError(CommandError):
    """This computer cannot open Session Manager's connections; the message says what is missing."""


def require_ssh() -> str:
    """Path of OpenSSH's ``ssh``.

    Raises:
        CommandError: It is not installed.
    """
    path = shutil.which("ssh")
    if path is None:
        raise CommandError(
            "there is no ssh on this computer; install OpenSSH's client, e.g. the package "
            "openssh-client"
        )
    return path


def require_session_manager() -> str:
    """Path of an AWS CLI that opens Session Manager's connections with its plug-in.

    Raises:
        NoSessionManagerError: The AWS CLI or the plug-in is missing, or the CLI is too old.
    """
    aws = shutil.which("aws")
    if aws is None:
        raise NoSessionManagerError(
            "port 22 is closed to this computer, and Session Manager needs the AWS CLI, which is "
            f"not installed; install it as {AWS_CLI_PAGE} says, or open port 22 with `gpustation "
            "allow-my-ip`"
        )
    if shutil.which("session-manager-plugin") is None:
        raise NoSessionManagerError(
            "port 22 is closed to this computer, and Session Manager needs the plug-in "
            f"session-manager-plugin of the AWS CLI; install it as {PLUGIN_PAGE} says, or open "
            "port 22 with `gpustation allow-my-ip`"
        )
    try:
        version = aws_cli_version(printed_version(aws))
    except NoVersionError:
        version = None
    if version is not None and version < OLDEST_AWS_CLI:
        have, need = (".".join(map(str, numbers)) for numbers in (version, OLDEST_AWS_CLI))
        raise NoSessionManagerError(
            f"the AWS CLI at {aws} is {have}, and Session Manager needs {need} or newer; install "
            f"a newer one as {AWS_CLI_PAGE} says"
        )
    return aws


def aws_cli_version(text: str) -> tuple[int, ...] | None:
    """The numbers in what ``aws --version`` prints; ``None`` if they are not there."""
    match = _VERSION.search(text)
    return tuple(map(int, match.groups())) if match else None
