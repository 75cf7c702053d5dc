"""Keeps the public key of the settings in a marked block of authorized_keys.

Runs at every boot, so that a changed key is applied and a removed one disappears. What
people wrote around the block stays as it is.

Usage: authorize_key.py FILE [--remove]
"""

import json
import os
import sys
from pathlib import Path

SETTINGS = Path(os.environ.get("GPUSTATION_ROOT", "") + "/var/lib/gpustation/settings.json")
BEGIN = "# gpustation: set by the stack, replaced at every boot"
END = "# gpustation: end"


def without_block(lines: list[str]) -> list[str]:
    """Return the lines outside of the marked block; one without an end is only its mark."""
    if BEGIN not in lines:
        return lines
    begin = lines.index(BEGIN)
    end = lines.index(END, begin) if END in lines[begin:] else begin
    return without_block(lines[:begin] + lines[end + 1 :])


def main() -> None:
    """Rewrite the file in one step, if anything changes."""
    path = Path(sys.argv[1])
    removes = sys.argv[2:] == ["--remove"]
    key = "" if removes else json.loads(SETTINGS.read_text())["public_key"].strip()
    old = path.read_text() if path.exists() else None
    lines = without_block((old or "").splitlines())
    if key:
        lines += [BEGIN, key, END]
    new = "".join(line + "\n" for line in lines)
    if new == old:
        return
    draft = path.with_name(path.name + ".gpustation")
    draft.write_text(new)
    draft.chmod(0o600)
    if path.exists():
        owner = path.stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)
    print("the public key is " + ("in place" if key else "not set"))


if __name__ == "__main__":
    main()
