"""Writes the public key of the settings to a marked block of authorized_keys.

Runs at every boot as the owner of the home folder, so that a changed key replaces the old one and a
removed key is deleted. All other lines are kept byte for byte, as they may be in any encoding.

Usage: authorize_key.py KEY, in the home folder; an empty KEY removes the block
"""

import os
import secrets
import stat
import sys
from pathlib import Path

#: Relative, because the current folder is the home folder.
FOLDER = Path(".ssh")
FILE = FOLDER / "authorized_keys"
BEGIN = b"# gpustation: set by the stack, replaced at every boot"
END = b"# gpustation: end"
#: Bytes; more than any real file has, and little enough to read into memory.
LIMIT = 1 << 20


def without_block(lines: list[bytes]) -> list[bytes]:
    """Return the lines outside of the marked block; without its end, only its first line is cut."""
    if BEGIN not in lines:
        return lines
    begin = lines.index(BEGIN)
    end = lines.index(END, begin) if END in lines[begin:] else begin
    return without_block(lines[:begin] + lines[end + 1 :])


def read(path: Path) -> bytes:
    """Return the file's bytes, without waiting for the writer of a FIFO.

    Raises:
        FileNotFoundError: The file does not exist.
        OSError: It is not a regular file, or it is too large or not readable.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError("it is no regular file")
        data = stream.read(LIMIT + 1)
    if len(data) > LIMIT:
        raise OSError(f"it is larger than {LIMIT} bytes")
    return data


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file atomically. The default mode allows access only to its owner."""
    draft = path.with_name(f".gpustation-{secrets.token_hex(8)}")
    try:
        with draft.open("xb") as stream:
            draft.chmod(mode)
            stream.write(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def authorize(key: bytes) -> str:
    """Update the block; return a sentence about the change, empty if there was none."""
    # A link to another file of the person is kept as a link
    path = FILE.resolve() if FILE.is_symlink() else FILE
    try:
        old = read(path)
    except FileNotFoundError:
        if not key:
            return ""
        FOLDER.mkdir(mode=0o700, exist_ok=True)
        old = b""
    lines = old.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    lines = without_block(lines)
    if key:
        lines += [BEGIN, key, END]
    new = b"".join(line + b"\n" for line in lines)
    if new == old:
        return ""
    replace(path, new)
    return "the public key is " + ("in place" if key else "not set")


def main() -> None:
    """Authorize the key of the command line, and set the modes that sshd requires."""
    try:
        change = authorize(os.fsencode(sys.argv[1].strip()))
        for path, mode in ((FOLDER, 0o700), (FILE, 0o600)):
            if path.exists() and not path.is_symlink():
                path.chmod(mode)
    except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
        sys.exit(f"~/{FILE}: {getattr(error, 'strerror', '') or error}")
    if change:
        print(change)


if __name__ == "__main__":
    main()
