"""Decides whether a resource is ours, may be ours, or is another's.

A name's prefix is no proof: ``GpuImage-thumbnails`` may be anybody's. Proof is our tag, the
resource list of one of our stacks, or the physical name that CloudFormation generates from a
logical id that only our templates have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gpustation.catalog.names import IMAGE, MAX_NAME, OWNER_TAG, STACK_NAMES, WORKSTATION, name_in

STACK_NAME_TAG = "aws:cloudformation:stack-name"
STACK_ID_TAG = "aws:cloudformation:stack-id"
BUILDER_TAG = "Ec2ImageBuilderArn"
"""Image Builder's own tag of what it creates; the value is the image's build version ARN."""

NOT_PROVEN = "not proven to be ours"

PATHS = (
    "AcceptanceRole/Resource",
    "DailyStopCaller/Group",
    "DailyStopCaller/Role/Resource",
    "DailyStopHandler/Function",
    "DailyStopHandler/Logs",
    "DailyStopHandler/Role/Resource",
    "DeployRole/Resource",
    "Generation{number}/DailyStop/Schedule",
    "Generation{number}/DailyStop/ScheduleAfterGap",
    "Generation{number}/Machine/Instance/InstanceProfile",
    "Generation{number}/Machine/Report",
    "Generation{number}/Machine/Role/Resource",
    "Generation{number}/Machine/Settings",
    "Image/DeletionRole/Resource",
    "Image/InstanceProfile",
    "Image/Logs",
    "Image/Role/Resource",
    "ImageChoiceHandler/Function",
    "ImageChoiceHandler/Logs",
    "ImageChoiceHandler/Role/Resource",
    "Network/SecurityGroup/Resource",
    "QuotaCheckHandler/Function",
    "QuotaCheckHandler/Logs",
    "QuotaCheckHandler/Role/Resource",
    "SpendLimit/Hourly",
    "SpendLimit/Ledger",
    "SpendLimit/Mails",
    "SpendLimit/ScheduleRole/Resource",
    "SpendLimit/Schedules",
    "SpendLimit/StateChanges",
    "SpendLimitHandler/Function",
    "SpendLimitHandler/Logs",
    "SpendLimitHandler/Role/Resource",
    "SpotRequestHandler/Function",
    "SpotRequestHandler/Logs",
    "SpotRequestHandler/Role/Resource",
)
"""Construct paths of the resources that CloudFormation may name; a test compares the templates."""

SUFFIX = r"[A-Za-z0-9]{12,13}"
"""CloudFormation's random suffix: 13 characters in older names, 12 today."""
NAME_LIMITS = (64, 128)
"""Longest name of a role or function, and of an instance profile (IAM and Lambda quotas)."""
_LAMBDA_LOGS, _BUILDER_LOGS = "/aws/lambda/", "/aws/imagebuilder/"


@dataclass(frozen=True)
class Ownership:
    """Why a resource counts as ours.

    Attributes:
        reason: The evidence.
        doubt: Why its removal is not offered; empty if it is.
    """

    reason: str
    doubt: str = ""

    def doubted(self, doubt: str) -> Ownership:
        """The same with a doubt, unless there is one already."""
        return replace(self, doubt=self.doubt or doubt)


@dataclass(frozen=True)
class Names:
    """Recognizes our stacks and resources by their tags and names.

    Attributes:
        named: Names of further stacks of ours, as passed with ``--stack``.
    """

    named: Sequence[str] = ()

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of our stacks, without those that contain the setting ``name``."""
        return (*STACK_NAMES, *self.named)

    def may_name(self, stack: str) -> bool:
        """Whether one of our stacks can have this name; other people's can, too."""
        return stack in self.stacks or name_in(stack) is not None

    def ownership(
        self, tags: Mapping[str, str], name: str = "", listed: Callable[[], str] = str
    ) -> Ownership | None:
        """Why a resource is or may be ours; ``None`` if it is another's.

        Args:
            tags: Its tags.
            name: Its name, if CloudFormation or a service chose it.
            listed: Returns which of our stacks lists it, or an empty text; called only if tags and
                name do not decide.
        """
        if OWNER_TAG in tags:
            return Ownership(f"tag {OWNER_TAG}={tags[OWNER_TAG]}")
        hint = self._hint(tags, name)
        if not hint:
            return None
        if tags.get(STACK_NAME_TAG) in self.named:
            return Ownership(f"{hint}, which --stack names")
        # A resource with a person's tags was created by a person, who may have reused the name
        tagged = any(not key.startswith("aws:") for key in tags)
        proof = self.generated(name) or ("" if tagged else listed())
        if proof:
            return Ownership(proof)
        # Whatever carries our stack's tag carries our tag as well; without our tag it is another's
        others = tags.get(STACK_NAME_TAG, WORKSTATION) not in self.stacks
        return None if others else Ownership(hint, NOT_PROVEN)

    def stack_ownership(
        self, name: str, tags: Mapping[str, str], logical_ids: Callable[[], Iterable[str]]
    ) -> Ownership | None:
        """Why a stack is or may be ours; ``None`` if it is another's.

        Args:
            name: Its name.
            tags: Its tags. The CDK does not tag the stack itself.
            logical_ids: Returns the logical ids of its template; called only if they matter.
        """
        if OWNER_TAG in tags:
            return Ownership(f"tag {OWNER_TAG}={tags[OWNER_TAG]}")
        if name in self.named:
            return Ownership("its name, which --stack names")
        if not self.may_name(name):
            return None
        if any(is_logical_id(logical_id) for logical_id in logical_ids()):
            return Ownership("its name and its template")
        # The setting name can be any word, so such a stack may be anybody's
        return Ownership("its name", NOT_PROVEN) if name in self.stacks else None

    def may_be_ours(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a stack may be ours, so that its resources are not leftovers."""
        return OWNER_TAG in tags or name.startswith(self.stacks)

    def generated(self, name: str) -> str:
        """The resource and stack of ours for which CloudFormation generated a name, or empty."""
        plain = name.removeprefix(_LAMBDA_LOGS)
        for logical_id in _logical_ids(name):
            if re.fullmatch(f"CFN-{logical_id}-{SUFFIX}", plain):
                return f"CloudFormation's name of our {logical_id}"
            for stack in (*self.stacks, *_stacks_in(plain)):
                if is_generated_name(plain, stack, logical_id):
                    return f"CloudFormation's name of {logical_id} in the stack {stack}"
        return ""

    def _hint(self, tags: Mapping[str, str], name: str) -> str:
        """Evidence that points to us without proving it; empty if there is none."""
        stack = tags.get(STACK_NAME_TAG)
        if stack:
            return f"tag {STACK_NAME_TAG}={stack}" if self.may_name(stack) else ""
        for key, value in sorted(tags.items()):
            # For example the contents of an image, which people also write on their own images
            if key.startswith(f"{OWNER_TAG}:"):
                return f"tag {key}={value}"
        # GpuImageStack names its recipes after the stack
        recipes = tuple(f"{stack.lower()}-" for stack in self.stacks)
        if tags.get(BUILDER_TAG, "").partition(":image/")[2].startswith(recipes):
            return f"tag {BUILDER_TAG}={tags[BUILDER_TAG]}"
        prefixes = (
            *(f"{start}{stack}-" for stack in self.stacks for start in ("", _LAMBDA_LOGS)),
            *(f"{_BUILDER_LOGS}{start}" for start in (*self.stacks, *recipes)),
            *recipes,
            f"/{OWNER_TAG}/",
        )
        # Also a resource of our library in somebody's own app
        ends = (f"-{logical_id}-{SUFFIX}$" for logical_id in _logical_ids(name))
        return (
            "its name"
            if name.startswith(prefixes) or any(re.search(end, name) for end in ends)
            else ""
        )


def is_generated_name(name: str, stack: str, logical_id: str) -> bool:
    """Whether CloudFormation may have generated a physical name from stack name and logical id.

    It joins both and a random suffix by hyphens. AWS documents no rule for names that are too long;
    names seen in public accounts (2018 to 2026) all fit this one: both parts get half of the
    characters, and what one part does not need the other may use.
    """
    head, _, suffix = name.rpartition("-")
    if not re.fullmatch(SUFFIX, suffix):
        return False
    rooms = [limit - len("--") - length for limit in NAME_LIMITS for length in (12, 13)]
    shortened = [_shortened(stack, logical_id, room) for room in rooms]
    return head in (f"{stack}-{logical_id}", *shortened)


def is_logical_id(name: str) -> bool:
    """Whether a logical id is one of our templates'."""
    return name in _logical_ids(name)


def _shortened(stack: str, logical_id: str, room: int) -> str:
    """Both parts within a number of characters, not counting the hyphen between them."""
    stack = stack[: room - min(len(logical_id), room // 2)]
    return f"{stack}-{logical_id[: room - len(stack)]}"


def _stacks_in(name: str) -> Iterator[str]:
    """Stack names with the setting ``name`` that a physical name may begin with, whole or cut off.

    One that was cut off is filled up to the longest name; its unknown end has no influence.
    """
    for kind in (WORKSTATION, IMAGE):
        if not name.startswith(f"{kind}-"):
            continue
        longest = len(f"{kind}-") + MAX_NAME
        for end in range(len(kind) + 2, min(longest, len(name)) + 1):
            if name_in(name[:end]) is not None:
                yield name[:end]
                yield name[:end].ljust(longest, "x")


def _logical_ids(name: str) -> Iterator[str]:
    """Our logical ids, with every generation number that the name contains."""
    numbers = set(re.findall("Generation([0-9]{1,9})", name))
    for path in PATHS:
        numbered = "{number}" in path
        for each in {path.format(number=number) for number in numbers} if numbered else {path}:
            yield _logical_id(each)


def _logical_id(path: str) -> str:
    """The logical id that the CDK derives from a path (aws-cdk-lib, core/lib/private/uniqueid)."""
    digest = hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:8].upper()
    return "".join(part for part in path.split("/") if part != "Resource") + digest
