"""Workstations of an account: finding them, their state, and changing it."""
