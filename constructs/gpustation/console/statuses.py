"""Exit statuses of the command, the same for every verb."""

from __future__ import annotations

FINDING = 1
"""The command worked and has something to report, or it failed."""
USAGE = 2
"""The command line is wrong."""
NO_ACCESS = 3
"""No credentials, a missing permission, or no network."""
NO_CAPACITY = 4
"""AWS has no capacity for the machine, or the account no quota."""
TIMED_OUT = 5
"""Something did not happen in time."""

MEANINGS = {
    0: "success",
    FINDING: "a finding, or failure",
    USAGE: "usage error",
    NO_ACCESS: "no credentials, a missing permission, or no network",
    NO_CAPACITY: "no capacity or no quota",
    TIMED_OUT: "timed out",
}
"""Meaning of each status, for help texts."""
