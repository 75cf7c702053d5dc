"""The idle stop of this machine.

Usage: idle/ watch           take one sample and act on the verdict (each minute, by its timer)
       idle/ times           print the times in the units, in seconds
       idle/ is-kept-awake   succeed if there is a valid request to keep the machine awake
       idle/ status | keep-awake DURATION | keep-awake off    (the command gpustation)
"""

import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path.append(str(SCRIPTS / "jupyter"))
sys.path.append(str(SCRIPTS / "phases/13-watch-interruption"))

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["watch"]:
            from watch import watch

            watch()
        case ["times"]:
            from policy import times

            print(*times())
        case ["is-kept-awake"]:
            import marks

            sys.exit(not marks.latest(time.time())[0])
        case words:
            from person import main

            sys.exit(main(words))
