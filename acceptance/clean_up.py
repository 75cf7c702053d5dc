"""Deletes what a run's file names, by the ids of the stacks, and nothing else."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from acceptance.outcome import fault_of_the_program
from acceptance.run_file import RunFile
from acceptance.world import World
from gpustation.aws.calls import UnknownError
from gpustation.aws.session import explain
from gpustation.aws.spot import ALIVE, cancel_requests, read_requests
from gpustation.aws.stacks import failed_custom_resources
from gpustation.catalog.names import OWNER_TAG, SAVED_TAG
from gpustation.catalog.spot import SPOT_TAG
from gpustation.saved_image.remove import SaveImageError, find_image, remove

WAIT_SECONDS = 3600.0
"""How long one stack's deletion may take; cancelling an image's build takes the longest."""
UNREACHED_SECONDS = 600.0
"""How long AWS may be out of reach: a computer's network is back by then, or the net must do."""
POLL_SECONDS = 5.0
ATTEMPTS = 3
Say = Callable[[str], None]


def clean_up(run: RunFile, world: World, say: Say) -> list[str]:
    """Delete everything of a run; returns a line for everything that could not be deleted.

    A stack is touched only if its id is in the run's file, or if the file names it without an id:
    then the run was ended between the start of its creation and the next observation, and the name,
    which is random, belonged to no stack before.

    Args:
        run: The run.
        world: Where it took place.
        say: Prints a line about each step.
    """
    steps: list[tuple[str, Callable[[], str]]] = [
        (name, functools.partial(_delete, run, world, name, say)) for name in reversed(run.stacks)
    ]
    steps.append(("saved images", functools.partial(_remove_images, run, world, say)))
    problems = [f"{what}: {problem}" for what, step in steps if (problem := _patient(step))]
    if not problems:
        run.over = True
        run.kept = False
    run.write()
    return problems


def _patient(step: Callable[[], str]) -> str:
    """What a step reports, tried again while AWS cannot be reached."""
    begun = time.monotonic()
    while True:
        try:
            return step()
        except UnknownError as error:
            return str(error)
        except ClientError as error:
            return explain(error)
        except BotoCoreError as error:
            if time.monotonic() - begun > UNREACHED_SECONDS:
                return explain(error)
        except Exception as error:  # any: what is left must be named, and the rest deleted
            return fault_of_the_program(error)
        time.sleep(POLL_SECONDS)


def _delete(run: RunFile, world: World, name: str, say: Say) -> str:
    """Delete a stack of the run; returns why it could not be."""
    session = world.session()
    found = _stack(session, name)
    if found is None:
        return ""
    stack_id = found["StackId"]
    if not run.stacks[name]:
        say(f"{name} was begun when the run ended: it is of this run, as its name is")
        run.note_stack(name, stack_id)
    if stack_id not in run.stacks[name]:
        return "a stack of this name exists that the run did not make; it was not touched"
    say(f"deleting {name}")
    why = ""
    retained: list[str] = []
    for _ in range(ATTEMPTS):
        why = _delete_once(world, stack_id, retained)
        if not why:
            return ""
        retained = _end_what_failed(session, stack_id)
    return why


def _end_what_failed(session: boto3.Session, stack_id: str) -> list[str]:
    """Custom resources that the next deletion leaves out, after what the one of spot would do.

    Also a request that is cancelled by now may have launched another machine before.
    """
    ec2, tags = session.client("ec2"), {SPOT_TAG: stack_id}
    requests = read_requests(ec2, tags, states=(*ALIVE, "cancelled", "closed"), patience=0)
    if requests:
        cancel_requests(ec2, tags)
    if machines := [row["InstanceId"] for row in requests if row.get("InstanceId")]:
        ec2.terminate_instances(InstanceIds=machines)
        ec2.get_waiter("instance_terminated").wait(InstanceIds=machines)
    pages = session.client("cloudformation").get_paginator("list_stack_resources")
    listed = pages.paginate(StackName=stack_id).build_full_result()
    return failed_custom_resources(listed["StackResourceSummaries"])


def _delete_once(world: World, stack_id: str, retained: list[str]) -> str:
    client = world.session().client("cloudformation")
    deadline, begun = time.monotonic() + WAIT_SECONDS, False
    while time.monotonic() < deadline:
        found = _stack(world.session(), stack_id)
        if found is None:
            return ""
        status = found["StackStatus"]
        if status == "DELETE_FAILED" and begun:
            return str(found.get("StackStatusReason", status))
        # A creation may be cut short by its deletion; another operation must end first
        if not begun and (status == "CREATE_IN_PROGRESS" or not status.endswith("_IN_PROGRESS")):
            without: dict[str, Any] = {"RetainResources": retained} if retained else {}
            client.delete_stack(StackName=stack_id, **without)
            begun = True
        time.sleep(POLL_SECONDS)
    return f"it is still {status} after {WAIT_SECONDS:.0f} s"


def _stack(session: boto3.Session, name: str) -> dict[str, Any] | None:
    try:
        (row,) = session.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return None if row["StackStatus"] == "DELETE_COMPLETE" else dict(row)


def _remove_images(run: RunFile, world: World, say: Say) -> str:
    """Delete the images that were saved from the run's machines."""
    ec2 = world.session().client("ec2")
    saved: list[Any] = [
        {"Name": f"tag:{OWNER_TAG}", "Values": list(run.stacks)},
        {"Name": "tag-key", "Values": [SAVED_TAG]},
    ]
    tagged = ec2.describe_images(Owners=["self"], Filters=saved)["Images"] if run.stacks else []
    # Also one that was being made when the run was killed
    for image in sorted({*run.images, *(row["ImageId"] for row in tagged)}):
        if find_image(ec2, image) is not None:
            say(f"deleting the saved image {image}")
            try:
                remove(ec2, image)
            except SaveImageError as error:
                return f"{image}: {error}"
    run.images.clear()
    run.write()
    return ""
