"""Checks what a deploy and the command need: account, programs, quota, permissions."""
