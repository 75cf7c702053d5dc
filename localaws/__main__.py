"""`python -m localaws`: the embedded AWS in the foreground, for a curious person."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from types import FrameType

from localaws.isolation import isolate
from localaws.server import LocalAws, LocalAwsError


def main() -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m localaws", description=__doc__)
    parser.add_argument("--region", default="us-east-1", help="default: %(default)s")
    parser.add_argument("--verbose", action="store_true", help="the emulator's own log, too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    isolate()
    try:
        with LocalAws(options.region, verbose=options.verbose) as aws:
            print(f"# an AWS on this machine, account {aws.account}; its log: {aws.log}")
            print("# paste into another shell, then for example: cdk bootstrap && cdk deploy")
            for name, value in aws.exports.items():
                print(f"export {name}={shlex.quote(value)}")
            print("# Ctrl-C ends it, and everything in it is gone", flush=True)
            status = aws.wait()
    except KeyboardInterrupt:
        return 0
    except LocalAwsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the embedded AWS ended with exit status {status}", file=sys.stderr)
    return 1


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
