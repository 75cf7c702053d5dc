"""The parts of a run, in the order of ``table.PARTS``."""
