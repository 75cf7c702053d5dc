"""Sanitizes user input for messages: no secrets, and no template expressions.

CDK resolves ``${Token[...]}``, also in annotations, and CloudFormation ``{{resolve:...}}``.
"""

from __future__ import annotations

import re

PRIVATE_KEY_MARKS = (
    "PRIVATE KEY",
    "PuTTY-User-Key-File",
    "AGE-SECRET-KEY",
    "openssh-key-v1",
    "b3BlbnNzaC1rZXktdjE",  # openssh-key-v1 in base64, for a key without its first line
)
"""Strings that occur only in private keys."""

# No brackets: CDK parses [ack: ...] in an annotation as its id
_HARMLESS = frozenset(" ._/@+:=,*?!#%&()<>|;'\"~^\\-")
_TOKEN = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{16}|github_pat_|glpat-|xox[a-z]-|eyJ[\w-]{8}|://[^/\s]*@"
)
"""Access tokens by their prefixes, and URLs with a user and possibly a password."""
_RUN = re.compile(r"[A-Za-z0-9+/=]{24,}")
_RUN_IN_A_PATH = re.compile(r"[A-Za-z0-9+=]{24,}")
_PATH = re.compile(r"[\w ./@+=,()~-]{1,255}")
_NO_BASE64 = re.compile(r"[._~-]")


def shown(text: str, limit: int = 80) -> str:
    """The text, cut after ``limit`` characters, with ``?`` for characters that may be harmful.

    If it looks like a secret, the result is ``(not shown)``.
    """
    if looks_secret(text):
        return "(not shown)"
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return "".join(c if c.isalnum() or c in _HARMLESS else "?" for c in cut)


def visible(text: str) -> str:
    r"""Untrusted text in printable ASCII.

    Other characters are escaped, e.g. as ``\x1b`` or ``\u202e``: control characters, line ends,
    invisible characters and direction marks, letters that look like another. So are backslashes,
    which prevents imitations.
    """
    return "".join(c if " " <= c <= "~" and c != "\\" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Untrusted text of several lines as one, in printable ASCII."""
    return visible(" ".join(text.split()))


def looks_secret(text: str) -> bool:
    """True for a private key, a token, a URL with a password, or a long random string."""
    if any(mark in text for mark in PRIVATE_KEY_MARKS) or _TOKEN.search(text):
        return True
    runs = _RUN_IN_A_PATH if _has_form_of_a_path(text) else _RUN
    return any(_is_random(run) for run in runs.findall(text))


def looks_like_a_path(text: str) -> bool:
    """True for text that is certainly the path of a file."""
    return _has_form_of_a_path(text) and not looks_secret(text)


def _has_form_of_a_path(text: str) -> bool:
    """A slash alone is not enough, as base64 contains slashes too."""
    named = "/" in text or text.startswith("~") or text.endswith(".pub")
    return named and _PATH.fullmatch(text) is not None and _NO_BASE64.search(text) is not None


def _is_random(run: str) -> bool:
    digits = any(c.isdigit() for c in run)
    mixed = any(c.islower() for c in run) and any(c.isupper() for c in run)
    if mixed:
        return digits or len(run) >= 40
    return digits and not run.isdigit() and len(run) >= 32
