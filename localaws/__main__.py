"""`python -m localaws`: the embedded AWS in the foreground, for a curious person."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from gpustation.console.interrupts import leave, listening
from localaws.isolation import isolate
from localaws.server import LocalAws, LocalAwsError


def main() -> int:
    """Serve until Ctrl-C, or another signal that ends it."""
    parser = argparse.ArgumentParser(prog="python -m localaws", description=__doc__)
    parser.add_argument("--region", default="us-east-1", help="default: %(default)s")
    parser.add_argument("--verbose", action="store_true", help="the emulator's own log, too")
    options = parser.parse_args()
    isolate()
    try:
        with listening(), LocalAws(options.region, verbose=options.verbose) as aws:
            print(f"# an AWS on this machine, account {aws.account}; its log: {aws.log}")
            print("# in another shell of this user, then for example: cdk bootstrap && cdk deploy")
            print(f". {shlex.quote(str(_variables(aws)))}")
            print("# Ctrl-C ends it, and everything in it is gone", flush=True)
            status = aws.wait()
    except KeyboardInterrupt:
        return 0
    except LocalAwsError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the embedded AWS ended with exit status {status}", file=sys.stderr)
    return 1


def _variables(aws: LocalAws) -> Path:
    """A file of this user only that sets the variables in a shell, the secret key among them."""
    file = aws.log.with_name("environment")
    file.touch(mode=0o600)
    exports = aws.exports.items()
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports))
    return file


if __name__ == "__main__":
    leave(main())
