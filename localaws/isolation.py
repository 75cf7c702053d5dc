"""Hides a person's own AWS configuration and proxies from what runs against the embedded AWS."""

from __future__ import annotations

import os

HERE = "localhost,127.0.0.1"


def isolate() -> None:
    """Change this process's environment, which all its children get.

    Otherwise boto3 fails for an ``AWS_PROFILE`` that does not exist here or a faulty
    ``~/.aws/config``, and ``HTTP_PROXY`` sends requests for this computer to a proxy.
    """
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    listed = ",".join(filter(None, (direct, HERE)))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = listed
