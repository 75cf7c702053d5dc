"""Settings that an image choice locks to its machine, by the property that carries each."""

from __future__ import annotations

LOCKED = {
    "Image": "image",
    "Framework": "framework",
    "DiskGib": "disk_gib",
    "AvailabilityZone": "availability_zone",
    "ReadyTimeoutMinutes": "ready_timeout_minutes",
}
"""Setting of each property of its own. A changed value needs a new machine, as does each of the
property ``Others``."""
