"""A file that ``cdk deploy`` publishes in the account's bootstrap bucket."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import FileAssetPackaging, Stack, Stage
from constructs import Construct


@dataclass(frozen=True)
class FileAsset:
    """Where a published file lies.

    Straight through the stack's synthesizer, from bytes that are the same everywhere:
    ``aws_s3_assets.Asset`` would bring all of S3's constructs and a second hashing into every
    synth, a fifth of what a small app costs.

    Attributes:
        bucket_name: The bootstrap bucket, a token.
        object_key: Key of the object: the hash of its bytes, and the suffix.
        sha256: Hash of the bytes, in hex.
    """

    bucket_name: str
    object_key: str
    sha256: str

    @classmethod
    def of_bytes(cls, scope: Construct, *, name: str, suffix: str, content: bytes) -> FileAsset:
        """Publishes bytes as they are.

        Args:
            scope: Construct that needs the file.
            name: What ``cdk deploy`` calls it.
            suffix: Suffix of the key, e.g. ``".zip"``.
            content: The bytes.

        Raises:
            ValueError: The scope is in no app.
        """
        stack, stage = Stack.of(scope), Stage.of(scope)
        if stage is None:
            raise ValueError(f"{scope.node.path} must be in an app; give its stack an App as scope")
        sha256 = hashlib.sha256(content).hexdigest()
        path = Path(stage.asset_outdir) / f"asset.{sha256}{suffix}"
        path.write_bytes(content)
        location = stack.synthesizer.add_file_asset(
            # relative to the assembly, which lies below the folder of the assets in a stage
            file_name=os.path.relpath(path, stage.outdir),
            packaging=FileAssetPackaging.FILE,
            source_hash=sha256,
            display_name=f"{scope.node.path.partition('/')[2]}/{name}",
        )
        return cls(location.bucket_name, location.object_key, sha256)
