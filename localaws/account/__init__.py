"""The account: ministack, extended and corrected where it differs from AWS.

ministack offers no extension points, so this package replaces some of its private functions. The
names are listed in `ministack_names.py` and checked at every start. Each replacement says in its
docstring what ministack does instead, and has a test, so that it can be offered upstream and
dropped when a release has it. Only this package and `localaws.image_builder` import ministack.
"""

import os

# ministack reads it when it is imported, and would keep signing keys in /tmp/ministack-state for
# good. No folder can be created below a file, so it keeps them in memory.
os.environ.setdefault("STATE_DIR", os.path.join(os.devnull, "ministack"))  # noqa: PTH118
