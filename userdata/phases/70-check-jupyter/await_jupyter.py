"""Waits until Jupyter accepts its token, and checks that it refuses requests without it.

Usage: await_jupyter.py UNIT PORT TOKEN_FILE
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "jupyter"))
from asking import ask

#: /api/contents needs authorization; /api does not.
PAGE = "/api/contents?content=0"
#: Seconds to wait; the first start on a new disk imports hundreds of modules.
PATIENCE = float(os.environ.get("GPUSTATION_JUPYTER_SECONDS", "120"))


def main() -> None:
    """Wait for Jupyter, then send a request without the token.

    Raises:
        SystemExit: Jupyter did not accept its token in time, or it accepts requests without it.
    """
    unit, port, file = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    token = file.read_text().strip()
    end = time.monotonic() + PATIENCE
    while (response := ask(unit, port, PAGE, token))[0] != 200:
        status, _, others = response
        if time.monotonic() > end:
            if others:
                sys.exit(
                    f"port {port} is taken by {others}, so Jupyter cannot listen there; end that "
                    f"program, or set up with another --jupyter-port, then: "
                    f"systemctl restart gpustation.service"
                )
            sys.exit(
                f"http://127.0.0.1:{port}{PAGE} answered {status or 'nothing'} to its token for "
                f"{PATIENCE:g} s; see journalctl -u {unit}"
            )
        time.sleep(0.5)
    status, _, _ = ask(unit, port, PAGE, "")
    if status != 403:
        sys.exit(f"http://127.0.0.1:{port}{PAGE} answered {status} without a token, not 403")
    print("Jupyter answers to its token and to nothing else")


if __name__ == "__main__":
    main()
