"""The last parts: everything is deleted, and nothing is left."""

from __future__ import annotations

from typing import Any

from acceptance.outcome import PartFailedError
from acceptance.parts.images import left_of_image, log_groups
from acceptance.run import NO, YES, Evidence, Run
from gpustation.console.statuses import FINDING, NO_ACCESS

SETTLE_SECONDS = 600.0
"""How long AWS may take to list no more what was deleted."""
POLL_SECONDS = 15.0
OPEN_REQUESTS = ["open", "active", "disabled"]


def destroy(run: Run) -> Evidence:
    """``gpustation down``, ``cdk destroy`` of the image, and the saved image undone."""
    evidence: Evidence = {}
    if run.stack_id(run.workstation):
        down = run.gpustation("down", "--yes", "--json", statuses=(0, FINDING))
        if run.stack_id(run.workstation):
            raise PartFailedError(f"`{down.shown}`: {down.last_words}")
        evidence["workstation seconds"] = round(down.seconds, 1)
    if run.stack_id(run.image):
        words = ("cdk", "destroy", "--force", f"Image/{run.image}", "-c", f"name={run.file.name}")
        ended = run.commands.run(words, seconds=3600)
        evidence["image seconds"] = round(ended.seconds, 1)
        _probe_image(run)
    for image in list(run.file.images):
        run.commands.gpustation("image", "undo", image, "--yes")
        run.file.images.remove(image)
        run.file.write()
        evidence["saved images"] = "undone"
    for stack in (run.workstation, run.image):
        if run.stack_id(stack):
            raise PartFailedError(f"the stack {stack.partition('-')[0]} still exists")
    run.probes["S12"] = (NO, "nothing hindered the deploys, and the VPC was deleted")
    if run.notes.get("spot"):
        evidence["open spot requests"] = requests = _open_requests(run)
        if requests:
            raise PartFailedError(f"{requests} spot requests are open after the deletion")
    return evidence


def _probe_image(run: Run) -> None:
    left = left_of_image(run)
    deadline = run.world.clock() + SETTLE_SECONDS
    first = list(left)
    while left and run.world.clock() < deadline:
        run.commands.pause(POLL_SECONDS)
        left = left_of_image(run)
    words = ", ".join(left) or ("gone some seconds later" if first else "nothing")
    run.probes["S4"] = (YES if left else NO, f"after its stack: {words}")
    groups = log_groups(run)
    run.probes["S2"] = (YES if groups else NO, f"{len(groups)} log groups after its stack")


def _open_requests(run: Run) -> int:
    ec2 = run.world.session().client("ec2")
    filters: list[Any] = [
        {"Name": "tag:gpustation", "Values": [run.workstation]},
        {"Name": "state", "Values": OPEN_REQUESTS},
    ]
    return len(ec2.describe_spot_instance_requests(Filters=filters)["SpotInstanceRequests"])


def leftovers(run: Run) -> Evidence:
    """What is left of this run in all regions; of other stacks it is only counted."""
    words = ("leftovers", "--all-regions", "--json", "--stack", run.workstation)
    statuses = (0, FINDING, NO_ACCESS)
    document = run.commands.gpustation(*words, "--stack", run.image, statuses=statuses).document
    rows = [row for region in document["regions"] for row in region["left"]]
    own = [row for row in rows if run.file.name in f"{row['id']} {row['ours']} {row['proof']}"]
    run.notes["left"] = sorted(f"{row['kind']} in {row['region']}" for row in own)
    evidence: Evidence = {
        "regions": len(document["regions"]),
        "complete": str(document["complete"]).lower(),
        "left of this run": len(own),
        "left of others": len(rows) - len(own),
    }
    groups = log_groups(run)
    if "S2" in run.probes and groups:
        run.probes["S2"] = (YES, f"{len(groups)} log groups minutes after its stack")
    if own:
        raise PartFailedError(f"left of this run: {', '.join(run.notes['left'])}")
    if not document["complete"]:
        raise PartFailedError("not everything could be checked; the log has what was refused")
    return evidence
