"""Writes failure.json, which the agent sends: the failed command, its status, and its last output.

Usage: write_failure.py TARGET PHASE STEP STATUS SECONDS RECORD LOG
"""

import json
import sys
from pathlib import Path

#: Lines of the end of the log that are kept.
LOG_LINES = 15
#: Characters of the reason; the agent cuts longer ones (its TEXT_LIMIT).
REASON_LIMIT = 900
#: Characters of the command or message, so that there is room for the log.
FAULT_LIMIT = 400


def describe(record: Path, phase: str, status: int) -> dict[str, object]:
    """Return the phase's failure record; if it was killed, it wrote none."""
    parts = record.read_text(errors="replace").split("\n", 2) if record.exists() else []
    # After a full disk or a power cut, the file is empty.
    if len(parts) < 3 or not parts[0].isdigit():
        return {"command": f"of phase {phase}", "exit_code": status}
    return {parts[1]: parts[2].rstrip("\n"), "exit_code": int(parts[0])}


def without_traces(lines: list[str]) -> list[str]:
    """Drop the frames of Python traces; the line after them, with the error, is kept."""
    kept = []
    in_trace = False
    for line in lines:
        if line.startswith("Traceback (most recent call last)"):
            in_trace = True
        elif not in_trace or not line.startswith(" "):
            in_trace = False
            kept.append(line)
    return kept


def compose(failure: dict[str, object]) -> str:
    """Return the reason, with as much of the log's end as fits."""
    fault = str(failure.get("message") or f"command {failure['command']}")
    fault = " ".join(fault.split())[:FAULT_LIMIT]
    if "command" in failure:
        fault += f" exited {failure['exit_code']}"
    head = f"phase {failure['phase']} failed: {fault} after {failure['seconds']} s"
    lines = [line.strip() for line in str(failure["log_tail"]).splitlines() if line.strip()]
    head += "; last lines of its log: "
    return head + " | ".join(lines or ["(none)"])[len(head) - REASON_LIMIT :]


def main() -> None:
    """Run the command line."""
    target, phase, step, status, seconds, record, log = sys.argv[1:]
    text = Path(log).read_text(errors="replace") if Path(log).exists() else ""
    lines = without_traces(text.splitlines())[-LOG_LINES:]
    failure: dict[str, object] = {"phase": phase, "step": step, "seconds": int(seconds)}
    failure.update(describe(Path(record), phase, int(status)), log_tail="\n".join(lines))
    failure["reason"] = compose(failure)
    draft = Path(target + ".new")
    draft.write_text(json.dumps(failure))
    draft.replace(target)


if __name__ == "__main__":
    main()
