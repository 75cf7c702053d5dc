"""What to launch, whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from localaws.account.ec2.spot_options import SpotOptions


@dataclass(frozen=True)
class Launch:
    """Parameters of a launch, by RunInstances, CloudFormation or a spot request.

    Attributes:
        public: Whether it has a public address. Default: as the subnet says.
        tokens: Whether the metadata service requires them: `optional` or `required`.
        spot: Its spot request; None: it is on demand.
        preference: `open`: it may be in an open capacity reservation. `none`: it is in none.
    """

    image_id: str
    instance_type: str
    subnet_id: str
    user_data: str = ""
    groups: tuple[str, ...] = ()
    key_name: str = ""
    profile: str = ""
    disks: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[Mapping[str, str], ...] = ()
    volume_tags: tuple[Mapping[str, str], ...] = ()
    public: bool | None = None
    tokens: str = "optional"
    spot: SpotOptions | None = None
    preference: str = "open"
