"""Waits until Jupyter answers to its token, and makes sure that it refuses without.

Usage: await_jupyter.py TOKEN_FILE
"""

import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

#: /api/contents needs authorization; /api alone answers to everyone.
ADDRESS = "http://127.0.0.1:8888/api/contents?content=0"
#: Seconds; the first start of a cold disk imports hundreds of modules.
PATIENCE = 120


def status_of(headers: dict[str, str]) -> int:
    """Return the HTTP status of the address, 0 where nothing answers."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(ADDRESS, headers=headers), timeout=10
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def main() -> None:
    """Wait, then try without the token."""
    token = {"Authorization": "token " + Path(sys.argv[1]).read_text().strip()}
    end = time.monotonic() + PATIENCE
    while (status := status_of(token)) != 200:
        if time.monotonic() > end:
            sys.exit(f"{ADDRESS} answered {status or 'nothing'} to its token for {PATIENCE} s")
        time.sleep(0.5)
    refused = status_of({})
    if refused != 403:
        sys.exit(f"{ADDRESS} answered {refused} without a token, not 403")
    print("Jupyter answers to its token and to nothing else")


if __name__ == "__main__":
    main()
