"""Asks a program on this computer for its version."""

from __future__ import annotations

import subprocess

VERSION_SECONDS = 15.0
"""How long a program may take to print its version; the AWS CLI takes one second on a busy disk."""


class NoVersionError(Exception):
    """The program did not print its version; the message says what happened."""


def printed_version(path: str) -> str:
    """What ``path --version`` prints, standard error included: AWS CLI 1 on Python 2 used it.

    Raises:
        NoVersionError: It could not be started, failed, or did not answer in ``VERSION_SECONDS``.
    """
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoVersionError(f"{path} did not answer in {VERSION_SECONDS:g} s") from None
    except OSError as error:
        raise NoVersionError(f"{path} cannot be started: {error.strerror}") from error
    text = (done.stdout + done.stderr).decode(errors="replace").strip()
    if done.returncode:
        shown = " ".join(text.split())[:80] or "nothing"
        raise NoVersionError(f"{path} --version printed {shown!r}")
    return text
