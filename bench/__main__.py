"""Runs all benchmarks; exit status 1 if one is over its limit: ``make bench``."""

import sys

from bench import command, environment, hold, image, quota, status, synth
from localaws.isolation import isolate

if __name__ == "__main__":
    isolate()
    within = [
        command.measure(),
        synth.measure(),
        quota.measure(),
        status.measure(),
        hold.measure(),
        environment.measure(),
        image.measure(),
    ]
    sys.exit(0 if all(within) else 1)
