"""Ports of the machine, in a module without CDK imports so that the command can use it."""

from __future__ import annotations

SSH_PORT = 22
