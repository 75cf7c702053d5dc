"""Parts about images: saved, baked, and a machine that starts from the baked one."""

from __future__ import annotations

import re
from typing import Any

from acceptance.outcome import PartFailedError
from acceptance.run import NO, UNKNOWN, YES, Evidence, Run
from gpustation.catalog.names import OWNER_TAG

LOG_GROUPS = "/aws/imagebuilder/"
TEST_LIMIT = 60
"""Minutes that the image's tests may take, by ``timeoutMinutes``."""
REBOOTS = "reboot"
JUPYTER_SECONDS = re.compile(r"jupyter-check (\d+)")
CLEANS = "perform_cleanup"
"""Marker file of AWS's own clean-up of a build machine."""


def save_image(run: Run) -> Evidence:
    """``gpustation image save``; the image is deleted with everything else."""
    finished = run.gpustation("image", "save", "--yes", "--json")
    image = str(finished.document["image"])
    run.file.images.append(image)
    run.file.write()
    (row,) = _describe(run, image)
    if row["State"] != "available":
        raise PartFailedError(f"the saved image is {row['State']}")
    return {"seconds": round(finished.seconds, 1), "disk GiB": _gib(row)}


def bake_image(run: Run) -> Evidence:
    """Bake an image; its log is there."""
    run.stop()
    run.intend(run.image)
    options: dict[str, str] = {
        "name": run.file.name,
        "framework": run.framework,
        "build_type": run.gpu_type.name,
        **{key: run.settings[key] for key in ("notebooks", "python_mirror") if key in run.settings},
    }
    words = [word for row in options.items() for word in ("-c", "=".join(row))]
    stack = f"Image/{run.image}"
    finished = run.commands.run(
        ("cdk", "deploy", stack, "--require-approval", "never", "--progress", "events", *words),
        seconds=3 * 3600,
    )
    client = run.world.session().client("cloudformation")
    (row,) = client.describe_stacks(StackName=run.image)["Stacks"]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in row["Outputs"]}
    image = outputs["ImageId"]
    (described,) = _describe(run, image)
    run.notes["baked"] = image
    run.notes["baked snapshots"] = _snapshots(described)
    streams, lines = _log(run)
    found = f"{streams} log streams, {len(lines)} lines"
    run.probes["A3"] = (YES if lines else NO, found)
    run.probes["S11"] = _cleaned(lines)
    minutes = finished.seconds / 60
    run.probes["S15"] = (
        (UNKNOWN, f"build and test took {minutes:.0f} minutes together")
        if minutes <= TEST_LIMIT
        else (UNKNOWN, f"they took {minutes:.0f} minutes together; the log tells how long each did")
    )
    return {"seconds": round(finished.seconds, 1), "disk GiB": _gib(described), "log": found}


def baked_start(run: Run) -> Evidence:
    """A new generation from the baked image."""
    run.stop()
    begun = run.world.clock()
    generation = str(int(run.settings.get("generation", "1")) + 1)
    document = run.up(image="baked", generation=generation).document
    seconds = run.world.clock() - begun
    ready = run.ready(document["ready"])
    machine = run.status()["machine"]
    if machine["image_id"] != run.notes["baked"]:
        raise PartFailedError("the machine was not started from the baked image")
    if not run.notes["record"]:
        _probe_jupyter(run, ready)
    stock = run.notes.get("stock seconds")
    return {
        "ready": ready,
        "seconds to ready": round(seconds, 1),
        "from the stock image": round(stock, 1) if stock else "not measured",
    }


def _probe_jupyter(run: Run, ready: str) -> None:
    """S10: whether Jupyter answered in time on a disk that is loaded as it is read."""
    match = JUPYTER_SECONDS.search(ready)
    found = f"the phase took {match[1]} s" if match else "the machine was ready in time"
    run.probes["S10"] = (YES, found)


def _describe(run: Run, image: str) -> list[dict[str, Any]]:
    ec2 = run.world.session().client("ec2")
    return [dict(row) for row in ec2.describe_images(ImageIds=[image])["Images"]]


def _snapshots(image: dict[str, Any]) -> list[str]:
    disks = image.get("BlockDeviceMappings", [])
    return [disk["Ebs"]["SnapshotId"] for disk in disks if "SnapshotId" in disk.get("Ebs", {})]


def _gib(image: dict[str, Any]) -> int:
    return sum(disk.get("Ebs", {}).get("VolumeSize", 0) for disk in image["BlockDeviceMappings"])


def log_groups(run: Run) -> list[str]:
    """Log groups of the run's image builds that exist now."""
    logs = run.world.session().client("logs")
    prefix = f"{LOG_GROUPS}{run.image}/"
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
    return [row["logGroupName"] for page in pages for row in page["logGroups"]]


def _cleaned(lines: list[str]) -> tuple[str, str]:
    """S11: whether AWS's clean-up is skipped after a reboot."""
    text = [line.lower() for line in lines]
    rebooted = next((number for number, line in enumerate(text) if REBOOTS in line), None)
    if rebooted is None:
        return UNKNOWN, "the log names no reboot" if lines else "there is no log"
    if any(CLEANS in line for line in text[rebooted:]):
        return NO, f"{CLEANS} is in the log after the reboot"
    return YES, f"{CLEANS} is not in the log after the reboot"


def _log(run: Run) -> tuple[int, list[str]]:
    """Number of streams of the build's log groups, and their lines."""
    logs = run.world.session().client("logs")
    streams, lines = 0, []
    for group in log_groups(run):
        for page in logs.get_paginator("describe_log_streams").paginate(logGroupName=group):
            streams += len(page["logStreams"])
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            lines += [event["message"] for event in page["events"]]
    return streams, lines


def left_of_image(run: Run) -> list[str]:
    """What is left of the baked image after its stack is gone."""
    image, ec2 = run.notes.get("baked"), run.world.session().client("ec2")
    if not image:
        return []
    owned: list[Any] = [{"Name": f"tag:{OWNER_TAG}", "Values": [run.image]}]
    images = ec2.describe_images(Owners=["self"], Filters=owned)["Images"]
    snapshots = ec2.describe_snapshots(
        OwnerIds=["self"],
        Filters=[{"Name": "snapshot-id", "Values": run.notes["baked snapshots"]}],
    )["Snapshots"]
    return ["an image"] * len(images) + ["a snapshot"] * len(snapshots)
