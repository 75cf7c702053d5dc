"""Ports of the machine.

A module of its own: the plan needs it too, and must not load the CDK, which starts Node.js.
"""

from __future__ import annotations

SSH_PORT = 22
