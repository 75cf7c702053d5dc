"""``gpustation image delete``: deletes a saved image that nothing uses."""

from __future__ import annotations

from gpustation.cli.ending import run
from gpustation.cli.image_undo import delete_saved
from gpustation.cli.options import AsJson, ImageId, Region, Yes, epilog
from gpustation.console.statuses import FINDING

EPILOG = epilog("gpustation image delete ami-0123456789abcdef0", FINDING)


def delete(image: ImageId, region: Region = "", yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a saved image and its snapshots, unless a stack, a machine or a template uses it.

    As `gpustation image undo`, which does not look who uses it.
    """

    def work() -> int:
        from gpustation.aws.session import make_session
        from gpustation.saved_image.users import require_unused

        session = make_session(region)
        require_unused(session, image)
        return delete_saved(session.client("ec2"), image, yes, as_json)

    run("image delete", work)
