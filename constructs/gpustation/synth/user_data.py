"""Renders the user data: a few variables and the minified files of ``userdata/bootstrap``.

It is a boothook, which cloud-init runs at every boot: a machine that lost power before the set-up
unit was enabled continues at the next boot. A test pins the bytes, because a change of the user
data stops and starts every existing machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpustation.synth.stripped_source import squeeze_python, strip_bash, strip_python

MAX_BYTES = 16_384
"""EC2's limit on user data, before base64 (EC2 user guide, "Run commands at launch")."""

_END = "GPUSTATION_EOF"


def render_user_data(bootstrap: Path, variables: Mapping[str, str]) -> str:
    """The user data as text.

    Args:
        bootstrap: Folder with ``bootstrap.sh`` and ``agent.py``.
        variables: Environment variables of the bootstrap, by name without the prefix
            ``GPUSTATION_``. Values may be tokens.

    Raises:
        ValueError: A value contains a single quote, ``agent.py`` contains the delimiter of its
            here-document, or a file cannot be minified.
    """
    agent = squeeze_python(strip_python((bootstrap / "agent.py").read_text(encoding="utf-8")))
    script = strip_bash((bootstrap / "bootstrap.sh").read_text(encoding="utf-8"))
    if _END in agent:
        raise ValueError(f"agent.py must not contain {_END}, the delimiter; rename it")
    for name, value in variables.items():
        if "'" in value:
            raise ValueError(f"GPUSTATION_{name} must not contain a single quote, got {value}")
    exports = [f"export GPUSTATION_{name}='{value}'" for name, value in variables.items()]
    lines = [
        "#cloud-boothook",
        "#!/bin/bash",
        *exports,
        f"GPUSTATION_AGENT=$(cat <<'{_END}'",
        agent.rstrip("\n"),
        _END,
        ")",
        "export GPUSTATION_AGENT",
        script,
    ]
    return "\n".join(lines)
