"""The tags by which the things of this project are told from others'.

A module of its own: synth, the commands and the checks of what is left all ask it.
"""

from __future__ import annotations

OWNER_TAG = "gpustation"
"""Marks what is ours; its value is the stack's name."""

SAVED_TAG = "gpustation:saved-from"
"""Marks an image that a person saved, and what may be undone; its value is the instance's id."""
