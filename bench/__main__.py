"""Measures everything and says what is over its limit: ``make bench``."""

import sys

from bench import environment, quota, synth

if __name__ == "__main__":
    within = [synth.measure(), quota.measure(), environment.measure()]
    sys.exit(0 if all(within) else 1)
