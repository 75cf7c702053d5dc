"""Renders the user data: a few variables, then the files of ``userdata/bootstrap``, stripped.

It is a boothook, so cloud-init runs it at every boot: a machine that lost power before the set-up
unit was enabled gets it at the next one. A test pins the bytes: a change of user data stops and
starts every machine that exists.
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
        variables: What the bootstrap knows, by name without the prefix ``GPUSTATION_``; values
            may be tokens, whose text holds no single quote.

    Raises:
        ValueError: A value holds a single quote, or a file holds the line that ends it or cannot
            be stripped.
    """
    agent = squeeze_python(strip_python((bootstrap / "agent.py").read_text(encoding="utf-8")))
    script = strip_bash((bootstrap / "bootstrap.sh").read_text(encoding="utf-8"))
    if _END in agent:
        raise ValueError(f"agent.py must not hold {_END}; name it otherwise")
    for name, value in variables.items():
        if "'" in value:
            raise ValueError(f"GPUSTATION_{name} must not hold a single quote, got {value}")
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
