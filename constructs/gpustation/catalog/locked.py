"""Settings that cannot change during the life of a machine, as properties of its image choice."""

from __future__ import annotations

LOCKED = {
    "Image": "image",
    "Framework": "framework",
    "DiskGib": "disk_gib",
    "AvailabilityZone": "availability_zone",
    "ReadyTimeoutMinutes": "ready_timeout_minutes",
}
"""Setting by property of ``Custom::ImageChoice``. The property ``Others`` holds further locked
settings by their own names."""
