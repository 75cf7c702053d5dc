"""All contact with ministack's inside: nothing outside this package imports it.

ministack offers no extension points, so this package replaces some of its private functions. The
names it relies on are listed in `contact.py` and checked at every start.
"""

import os

# Read when ministack is imported: else it keeps signing keys in /tmp/ministack-state for good. No
# folder can be made below a file, and then it keeps them in memory.
os.environ.setdefault("STATE_DIR", os.path.join(os.devnull, "ministack"))  # noqa: PTH118
