"""The command's own SSH key, and its push to a machine by EC2 Instance Connect."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from gpustation.console.errors import CommandError

if TYPE_CHECKING:
    from mypy_boto3_ec2_instance_connect import EC2InstanceConnectClient

USER = "ubuntu"
"""Who logs in; also the default user of Canonical's images."""
KEYGEN_SECONDS = 60.0


def own_key(folder: Path) -> Path:
    """The private key, an ed25519 key without passphrase; made at the first call.

    A pushed key opens a machine for 60 seconds only, so a copy of the file is of no use without
    the permission to push it.

    Args:
        folder: The state folder.

    Raises:
        CommandError: ``ssh-keygen`` is missing, or failed.
    """
    key = folder / "id_ed25519"
    if not (key.exists() and public_file(key).exists()):
        _make(key)
    key.chmod(0o600)
    return key


def public_file(key: Path) -> Path:
    """File with the public key."""
    return key.with_name(f"{key.name}.pub")


def push(client: EC2InstanceConnectClient, instance_id: str, zone: str, key: Path) -> None:
    """Let the key log in to the machine during the next 60 seconds.

    Raises:
        ClientError: AWS refused it.
    """
    client.send_ssh_public_key(
        InstanceId=instance_id,
        InstanceOSUser=USER,
        SSHPublicKey=public_file(key).read_text(),
        AvailabilityZone=zone,
    )


def _make(key: Path) -> None:
    keygen = shutil.which("ssh-keygen")
    if keygen is None:
        raise CommandError("there is no ssh-keygen on this computer; install OpenSSH's client")
    for path in (key, public_file(key)):
        path.unlink(missing_ok=True)
    try:
        subprocess.run(
            [keygen, "-q", "-t", "ed25519", "-N", "", "-C", "gpustation", "-f", str(key)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=KEYGEN_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise CommandError(f"ssh-keygen failed: {' '.join(error.stderr.split())}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise CommandError(f"ssh-keygen failed: {error}") from error
