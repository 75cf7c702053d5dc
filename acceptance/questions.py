"""What an acceptance run shows: its parts, and the questions about AWS that its probes answer.

The names are those of evidence files, so a name that has been in a file stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

PARTS: Mapping[str, str] = MappingProxyType(
    {
        "doctor": "`gpustation doctor` finds nothing that would stop the run",
        "bootstrap": "`cdk bootstrap` prepares the account and region",
        "refused-quota": "a type that the quota has no room for is refused, and nothing is created",
        "deploy": "`cdk deploy` creates the machine and returns with `Ready`",
        "compute": "the framework computes on every GPU of the machine",
        "reach": "`gpustation ssh` and `gpustation jupyter` reach the machine",
        "packages": "a package that a person installed is there in a shell and in a notebook",
        "power": "stop, start and reboot; disk, Jupyter and packages are there again",
        "type-change": "another instance type: the machine stops and starts, the disk is kept",
        "bench": "`gpustation bench` measures the machine",
        "save-image": "`gpustation image save` makes an image of the machine",
        "bake-image": "`Image/GpuImage` builds and tests an image with EC2 Image Builder",
        "baked-start": "a machine starts from the built image and installs nothing",
        "idle-stop": "a machine on which nothing moves stops itself",
        "spot": "a spot machine: its request, its price, its deletion",
        "framework": "the other framework is installed and computes",
        "destroy": "`cdk destroy` deletes every stack of the run",
        "leftovers": "`gpustation leftovers` finds nothing of the run",
    }
)
"""The parts of a run in their order, each with what it shows."""


@dataclass(frozen=True)
class Question:
    """A question that only an AWS account answers.

    Attributes:
        probe: Name of the probe.
        text: The question, which is answered by yes or no.
        parts: The parts of a run that the probe looks at.
        how: How the answer is read, and when it remains unknown.
        yes: What a yes means for this project.
        no: What a no means for this project.
    """

    probe: str
    text: str
    parts: tuple[str, ...]
    how: str
    yes: str
    no: str


_QUESTIONS = (
    Question(
        "S2",
        "Does Image Builder create the log group of a build again after the stack was deleted?",
        ("bake-image", "leftovers"),
        "At the end of the run, `logs:DescribeLogGroups` with the group's name. A no counts only "
        "if the group existed before; it says more if the build was cut off by the deletion.",
        "An empty log group remains, which `gpustation leftovers` lists. A new stack is not "
        "hindered: its group has another name.",
        "The warning in docs/leftovers.md is about a rare case, at most.",
    ),
    Question(
        "S4",
        "Is an image or a snapshot of the build still there after the image's stack was deleted?",
        ("bake-image", "destroy"),
        "`ec2:DescribeImages` and `ec2:DescribeSnapshots` with the ids that the image had, right "
        "after the deletion and at the end of the run. Yes if anything is there at the end.",
        "Image Builder deletes images later than the stack says, and the role for it is gone by "
        "then: the role must outlive the image, and docs/images.md must say so until it does.",
        "The deletion waits for image and snapshots, as the order of the resources assumes.",
    ),
    Question(
        "S5",
        "Did AWS refuse the SSM agent at first boot, so that it would have slept for half an hour?",
        ("deploy",),
        "The log of the phase `verify` has the line that the SSM agent sleeps, or the agent's "
        "journal of the first boot has `Sleeping for` or `hibernate`. Unknown without either.",
        "The restart by the set-up is needed; `reach` shows whether it suffices.",
        "The role took effect in time here. The restart remains, as one run excludes nothing.",
    ),
    Question(
        "S8",
        "Does NVIDIA's open kernel module report errors of its GSP firmware on this GPU?",
        ("bench",),
        "The kernel's log after `bench` has lines of NVRM with `Xid` 119 or 120 or `GSP`. Unknown "
        "if the machine has the proprietary module, or if `bench` did not run.",
        "The kind of module, which follows from the type today, must become a setting.",
        "The open module is fit for this type, for the length of a run.",
    ),
    Question(
        "S10",
        "Does Jupyter answer within the 120 seconds of the set-up on a machine of a built image?",
        ("baked-start",),
        "The seconds of the phase `jupyter-check` in `Ready`, or the failure of that phase. Disks "
        "of a snapshot are loaded as they are read, so the first start is the slowest.",
        "120 seconds are enough, unless it was close: the seconds are in the answer.",
        "The wait must be longer, e.g. 300 seconds.",
    ),
    Question(
        "S11",
        "Does Image Builder skip its own clean-up of a machine that rebooted during the build?",
        ("bake-image",),
        "The build's log has a reboot, and afterwards no output of `perform_cleanup`. Unknown if "
        "the build needed no reboot, or if there is no log.",
        "Only the project's own `image.sh clean` removes secrets and identities; it must stay "
        "complete.",
        "Both clean up; nothing has to change.",
    ),
    Question(
        "S12",
        "Does anything in this account that is not ours hinder a deploy or the deletion of a VPC?",
        ("deploy", "destroy"),
        "An explicit deny in the stacks' events; endpoints and security groups in the VPC that "
        "are of no stack (GuardDuty); `ec2:DescribeVpcBlockPublicAccessOptions`.",
        "docs/troubleshooting.md has the cases that are known; the message in the answer is to be "
        "compared with its rows.",
        "Nothing follows for other accounts, which may have such rules.",
    ),
    Question(
        "S15",
        "Does Image Builder ignore the limit of 60 minutes (`timeoutMinutes`) for the tests?",
        ("bake-image",),
        "Yes if the tests took longer and the build succeeded; no if they were ended after 60 "
        "minutes. Unknown if they took less, which is usual.",
        "Only the limits of the component's steps end a test that hangs, as assumed.",
        "The limit is real: it must be longer than the limits of the test steps together.",
    ),
    Question(
        "A3",
        "Does the log of a build arrive in the log group of the image's stack?",
        ("bake-image",),
        "`logs:DescribeLogStreams` and one `logs:GetLogEvents` of the group while the stack "
        "exists. Yes if there is a line of the component.",
        "The permissions of the build's role suffice, and a failed build can be explained.",
        "A failed build leaves one line only: the role lacks a permission, or the service ignores "
        "the group; docs/images.md must say where else to look.",
    ),
    Question(
        "B1",
        "Does EC2 count a machine in a capacity reservation once against the vCPU quota?",
        ("deploy",),
        "Yes if a machine is launched into the room held for it while the quota has no room for "
        "two; no if that fails with `VcpuLimitExceeded`. With a larger quota: the metric "
        "`AWS/Usage` of the quota while machine and reservation exist. Unknown without either.",
        "The arithmetic of the quota check and of the room that a deploy holds is right.",
        "A deploy with a quota for one machine fails although the check allows it: the room must "
        "be released before the launch, or the check must count it.",
    ),
)

QUESTIONS: Mapping[str, Question] = MappingProxyType({row.probe: row for row in _QUESTIONS})
"""The questions by the name of their probe, in the order of the pages."""
