"""The account and region of a command, as the CDK CLI finds them."""

from __future__ import annotations

import os
from collections.abc import Mapping

import boto3


def make_session(environment: Mapping[str, str] = os.environ) -> boto3.Session:
    """A session in the region of ``AWS_REGION``, which boto3 alone would not read.

    Without that variable boto3's own order holds: ``AWS_DEFAULT_REGION``, then the profile.
    """
    return boto3.Session(region_name=environment.get("AWS_REGION") or None)
