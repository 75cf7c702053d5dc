"""A file asset, which ``cdk deploy`` uploads to the account's bootstrap bucket."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import FileAssetPackaging, Stack, Stage
from constructs import Construct


@dataclass(frozen=True)
class FileAsset:
    """Location of a file asset.

    It is added through the stack's synthesizer, because ``aws_s3_assets.Asset`` loads all S3
    constructs and hashes the file again: a fifth of the synth time of a small app.

    Attributes:
        bucket_name: Name of the bootstrap bucket, a token.
        object_key: Key of the object: the hash of the content, and the suffix.
        sha256: SHA-256 of the content, in hex.
    """

    bucket_name: str
    object_key: str
    sha256: str

    @classmethod
    def of_bytes(cls, scope: Construct, *, name: str, suffix: str, content: bytes) -> FileAsset:
        """Adds a file asset with this content.

        Args:
            scope: Construct that needs the file.
            name: Name of the asset in the output of ``cdk deploy``.
            suffix: Suffix of the key, e.g. ``".zip"``.
            content: Content of the file.

        Raises:
            ValueError: The scope is not in an app.
        """
        stack, stage = Stack.of(scope), Stage.of(scope)
        if stage is None:
            raise ValueError(f"{scope.node.path} must be in an app; give its stack an App as scope")
        sha256 = hashlib.sha256(content).hexdigest()
        path = Path(stage.asset_outdir) / f"asset.{sha256}{suffix}"
        path.write_bytes(content)
        location = stack.synthesizer.add_file_asset(
            # Relative to the assembly; in a stage this is a subfolder of the asset folder
            file_name=os.path.relpath(path, stage.outdir),
            packaging=FileAssetPackaging.FILE,
            source_hash=sha256,
            display_name=f"{scope.node.path.partition('/')[2]}/{name}",
        )
        return cls(location.bucket_name, location.object_key, sha256)
