"""A file or folder that ``cdk deploy`` publishes in the account's bootstrap bucket."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import AssetStaging, FileAssetPackaging, IgnoreMode, Stack
from constructs import Construct


@dataclass(frozen=True)
class FileAsset:
    """Where a published asset lies.

    Straight through the stack's synthesizer: ``aws_s3_assets.Asset`` does the same and brings the
    whole of S3's constructs into every synth.

    Attributes:
        bucket_name: The bootstrap bucket, a token.
        object_key: Key of the object, from the hash of its content.
    """

    bucket_name: str
    object_key: str

    @classmethod
    def of_directory(
        cls,
        scope: Construct,
        construct_id: str,
        *,
        path: Path,
        exclude: Sequence[str],
        ignore_mode: IgnoreMode,
    ) -> FileAsset:
        """Publishes a folder as a zip, without what the patterns exclude."""
        staging = AssetStaging(
            scope,
            construct_id,
            source_path=str(path),
            exclude=list(exclude),
            ignore_mode=ignore_mode,
        )
        return cls._publish(scope, staging, FileAssetPackaging.ZIP_DIRECTORY)

    @classmethod
    def of_bytes(
        cls, scope: Construct, construct_id: str, *, file_name: str, content: bytes
    ) -> FileAsset:
        """Publishes bytes as they are, under a key with the file name's suffix."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file_name
            path.write_bytes(content)
            staging = AssetStaging(scope, construct_id, source_path=str(path))
            return cls._publish(scope, staging, FileAssetPackaging.FILE)

    @classmethod
    def _publish(
        cls, scope: Construct, staging: AssetStaging, packaging: FileAssetPackaging
    ) -> FileAsset:
        stack = Stack.of(scope)
        location = stack.synthesizer.add_file_asset(
            file_name=staging.relative_staged_path(stack),
            packaging=packaging,
            source_hash=staging.asset_hash,
            display_name=staging.node.path.partition("/")[2],
        )
        return cls(location.bucket_name, location.object_key)
