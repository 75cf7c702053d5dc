"""The SSM agent that sleeps after AWS refused it: seen in its journal, restarted once."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from machine_bench import USERDATA

SNAP = "snap.amazon-ssm-agent.amazon-ssm-agent.service"
DEB = "amazon-ssm-agent.service"
# Lines of the agent's log, from public issues of amazon-ssm-agent
REFUSED = "INFO [CredentialRefresher] Sleeping for 27m34s before retrying retrieve credentials"
SOON = REFUSED.replace("27m34s", "1s")
OLD = "INFO [ssm-agent-worker] Entering SSM Agent hibernate - AccessDeniedException: User: arn:"
READY = "INFO [CredentialRefresher] Credentials ready"
SYSTEMCTL = """\
#!/bin/bash
unit=${*: -1}
case $1 in
  is-active) [[ -e $FOLDER/$unit ]] ;;
  restart)
    echo "$unit" >>"$FOLDER/restarted"
    cat "$FOLDER/after" >>"$FOLDER/$unit"
    ;;
esac
"""
JOURNALCTL = '#!/bin/bash\ncat "$FOLDER/${1#--unit=}"\n'


def wake(folder: Path, after: str = READY, **journals: str) -> tuple[str, str]:
    """Run the script; returns which units it restarted, and what it warns of."""
    for name, text in (("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for unit, lines in ((SNAP, journals.get("snap")), (DEB, journals.get("deb"))):
        if lines is not None:
            (folder / unit).write_text(lines + "\n")
    (folder / "after").write_text(after + "\n")
    (folder / "var/lib/gpustation/warnings").mkdir(parents=True)
    done = subprocess.run(
        ["bash", USERDATA / "phases/60-verify-gpu/wake-session-manager.sh"],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "FOLDER": str(folder),
            "GPUSTATION_ROOT": str(folder),
            "GPUSTATION_PHASE": "verify",
            "GPUSTATION_AGENT_SECONDS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [folder / "restarted", folder / "var/lib/gpustation/warnings/verify"]
    restarted, warned = (path.read_text().strip() if path.exists() else "" for path in found)
    return restarted, warned


@pytest.mark.parametrize(
    "refused", [REFUSED, OLD, f"{READY}\n{REFUSED}"], ids=["new", "old", "later"]
)
def test_agent_that_sleeps_is_restarted_once(tmp_path: Path, refused: str) -> None:
    assert wake(tmp_path, snap=refused) == (SNAP, "")


def test_agent_of_the_package_too(tmp_path: Path) -> None:
    assert wake(tmp_path, deb=REFUSED) == (DEB, "")


@pytest.mark.parametrize(
    "journal", [READY, f"{REFUSED}\n{READY}", SOON, ""], ids=["ready", "late", "soon", "none"]
)
def test_agent_that_is_connected_or_tries_by_itself_is_left_alone(
    tmp_path: Path, journal: str
) -> None:
    assert wake(tmp_path, snap=journal) == ("", "")


def test_machine_without_the_agent_has_nothing_to_restart(tmp_path: Path) -> None:
    assert wake(tmp_path) == ("", "")


def test_agent_that_is_refused_again_is_a_warning(tmp_path: Path) -> None:
    restarted, warned = wake(tmp_path, after=REFUSED, snap=REFUSED)
    assert restarted == SNAP
    assert warned.startswith("the SSM agent is refused by AWS, so Session Manager does not reach")
    assert "Sleeping for 27m34s" in warned
