"""Moves a stopped machine, with its disk, to another zone or from spot to on-demand."""
