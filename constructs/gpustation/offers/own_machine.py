"""The machine of the region's workstation, whose type is the default of questions about types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpustation.console.errors import CommandError
from gpustation.offers.price import BRIEF
from gpustation.workstation.find import find_all
from gpustation.workstation.machine import describe

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

    from gpustation.workstation.machine import Machine

DEFAULT_TYPE = "g4dn.xlarge"
"""Type in a region without a workstation, or with several: the default of ``instance_type``."""


def own_machine(session: boto3.Session, config: Config = BRIEF) -> Machine | None:
    """The machine of the session's region if it has exactly one workstation, and that a machine.

    Args:
        session: The session.
        config: Time-outs and retries. Default: ``BRIEF``, for callers that have another default.

    Raises:
        ClientError: AWS refused.
        BotoCoreError: AWS was not reached.
    """
    found = find_all(session.client("cloudformation", config=config))
    if len(found) != 1 or not found[0].instance_id:
        return None
    try:
        machine = describe(session.client("ec2", config=config), found[0].instance_id)
    except CommandError:  # terminated by hand
        return None
    return None if machine.is_gone else machine
