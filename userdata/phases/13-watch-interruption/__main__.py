"""What this machine does when EC2 interrupts it.

Usage: 13-watch-interruption/ watch             look for EC2's notice for ever
       13-watch-interruption/ personal-hooks    run the hooks of this user
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "idle"))

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["watch"]:
            from watcher import main

            main()
        case ["personal-hooks"]:
            from hooks import run_personal

            sys.exit(run_personal())
        case _:
            sys.exit(__doc__)
