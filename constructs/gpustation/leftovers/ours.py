"""Decides whose a thing is: the one place that says "ours", "perhaps ours" or "another's".

A name's beginning is no proof: ``GpuImage-thumbnails`` may be anybody's. Proof is our tag, the
resource list of a stack of ours, or the physical name that CloudFormation makes of a logical id
that only our templates have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpustation.catalog.names import (
    IMAGE,
    MAX_NAME,
    OWNER_TAG,
    STACK_NAMES,
    WORKSTATION,
    name_in,
)

STACK_NAME_TAG = "aws:cloudformation:stack-name"
STACK_ID_TAG = "aws:cloudformation:stack-id"
BUILDER_TAG = "Ec2ImageBuilderArn"
"""Image Builder's own tag of what it makes; its value is the image's ARN with its build number."""

NOT_PROVEN = "not proven to be ours"

PATHS = (
    "DeployRole/Resource",
    "Generation{number}/Machine/Instance/InstanceProfile",
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
)
"""Construct paths of the resources that CloudFormation may name; a test holds the templates to
them."""

SUFFIX = r"[A-Za-z0-9]{12,13}"
"""What CloudFormation appends: 13 characters in older names, 12 in those of today."""
NAME_LIMITS = (64, 128)
"""Longest name of a role or function, and of an instance profile (IAM and Lambda quotas)."""
_LAMBDA_LOGS, _BUILDER_LOGS = "/aws/lambda/", "/aws/imagebuilder/"


@dataclass(frozen=True)
class Ownership:
    """Why a thing counts as ours.

    Attributes:
        reason: What says so.
        doubt: Why its removal is not offered all the same; empty where it is.
    """

    reason: str
    doubt: str = ""


@dataclass(frozen=True)
class Names:
    """Tells ours from others'.

    Attributes:
        named: Stacks that the person calls ours, beside those of ``STACK_NAMES`` and those that
            the setting ``name`` makes of them.
    """

    named: Sequence[str] = ()

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of our stacks, but for those that the setting ``name`` makes."""
        return (*STACK_NAMES, *self.named)

    def may_name(self, stack: str) -> bool:
        """Whether a stack of ours may have this whole name: ``GpuImage-thumbnails`` may too."""
        return stack in self.stacks or name_in(stack) is not None

    def ownership(
        self, tags: Mapping[str, str], name: str = "", listed: Callable[[], str] = str
    ) -> Ownership | None:
        """Whose a thing is; ``None`` for another's.

        Args:
            tags: Its tags.
            name: Its name, where CloudFormation or a service chose that.
            listed: Says which stack of ours lists it, or nothing; called only where tags and name
                leave it open.
        """
        if OWNER_TAG in tags:
            return Ownership(f"tag {OWNER_TAG}={tags[OWNER_TAG]}")
        hint = self._hint(tags, name)
        if not hint:
            return None
        if tags.get(STACK_NAME_TAG) in self.named:
            return Ownership(f"{hint}, which --stack names")
        # Another may have made a thing of that name since, and tagged it; a service tags nothing
        tagged = any(not key.startswith("aws:") for key in tags)
        proof = self.generated(name) or ("" if tagged else listed())
        if proof:
            return Ownership(proof)
        # All that bears the stack's tag bears ours as well; without it the stack is another's
        others = tags.get(STACK_NAME_TAG, WORKSTATION) not in self.stacks
        return None if others else Ownership(hint, NOT_PROVEN)

    def stack_ownership(
        self, name: str, tags: Mapping[str, str], logical_ids: Callable[[], Iterable[str]]
    ) -> Ownership | None:
        """Whose a stack is; ``None`` for another's.

        Args:
            name: Its name.
            tags: Its tags. The CDK gives none to a stack itself.
            logical_ids: Says the logical ids of its template; called only where it matters.
        """
        if OWNER_TAG in tags:
            return Ownership(f"tag {OWNER_TAG}={tags[OWNER_TAG]}")
        if name in self.named:
            return Ownership("its name, which --stack names")
        if not self.may_name(name):
            return None
        if any(is_logical_id(one) for one in logical_ids()):
            return Ownership("its name and its template")
        # A person's name may be any word, so that such a stack is anybody's
        return Ownership("its name", NOT_PROVEN) if name in self.stacks else None

    def may_be_ours(self, name: str, tags: Mapping[str, str]) -> bool:
        """Whether a stack may be ours, so that what it owns is safe."""
        return OWNER_TAG in tags or name.startswith(self.stacks)

    def generated(self, name: str) -> str:
        """Which resource of which stack of ours CloudFormation gave this name; empty if none."""
        plain = name.removeprefix(_LAMBDA_LOGS)
        for logical_id in _logical_ids(name):
            if re.fullmatch(f"CFN-{logical_id}-{SUFFIX}", plain):
                return f"CloudFormation's name of our {logical_id}"
            for stack in (*self.stacks, *_stacks_in(plain)):
                if is_generated_name(plain, stack, logical_id):
                    return f"CloudFormation's name of {logical_id} in the stack {stack}"
        return ""

    def _hint(self, tags: Mapping[str, str], name: str) -> str:
        """What points to us and proves nothing."""
        maker = tags.get(STACK_NAME_TAG)
        if maker:
            return f"tag {STACK_NAME_TAG}={maker}" if self.may_name(maker) else ""
        for key, value in sorted(tags.items()):
            # What an image holds, for example, which people write on images of their own
            if key.startswith(f"{OWNER_TAG}:"):
                return f"tag {key}={value}"
        recipe = tags.get(BUILDER_TAG, "").partition(":image/")[2]
        if recipe.startswith(self._recipes):
            return f"tag {BUILDER_TAG}={tags[BUILDER_TAG]}"
        of_library = any(
            re.search(f"-{logical_id}-{SUFFIX}$", name) for logical_id in _logical_ids(name)
        )
        return "its name" if of_library or name.startswith(self._prefixes) else ""

    @property
    def _recipes(self) -> tuple[str, ...]:
        """How our images' recipes begin (``GpuImageStack`` names them)."""
        return tuple(f"{name.lower()}-" for name in self.stacks)

    @property
    def _prefixes(self) -> tuple[str, ...]:
        stacks = tuple(f"{start}{name}-" for name in self.stacks for start in ("", _LAMBDA_LOGS))
        builds = tuple(f"{_BUILDER_LOGS}{name}" for name in (*self.stacks, *self._recipes))
        return (*stacks, *builds, *self._recipes, f"/{OWNER_TAG}/")


def is_generated_name(name: str, stack: str, logical_id: str) -> bool:
    """Whether CloudFormation may have made a physical name of these two.

    It joins stack name, logical id and a random suffix by hyphens. AWS documents no rule for what
    is too long; names seen in public accounts (2018 to 2026) all fit this one: both parts share
    the room evenly, and what one does not need the other has.
    """
    head, _, suffix = name.rpartition("-")
    if not re.fullmatch(SUFFIX, suffix):
        return False
    if head == f"{stack}-{logical_id}":
        return True
    return any(
        head == _shortened(stack, logical_id, limit - len("--") - length)
        for limit in NAME_LIMITS
        for length in (12, 13)
    )


def is_logical_id(name: str) -> bool:
    """Whether a logical id is one of our templates'."""
    return name in _logical_ids(name)


def _shortened(stack: str, logical_id: str, room: int) -> str:
    """Both parts in so many characters, the hyphen between them not counted."""
    if len(stack) + len(logical_id) <= room:
        return f"{stack}-{logical_id}"
    half = room // 2
    of_stack = room - min(len(logical_id), half)
    stack = stack[:of_stack]
    return f"{stack}-{logical_id[: room - len(stack)]}"


def _stacks_in(name: str) -> Iterator[str]:
    """Stacks with a person's name that a physical name may begin with, whole or cut off.

    One that was cut off is filled up to the longest name: how it went on changes nothing.
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
    """Our logical ids; of those that hold a machine's generation, the ones that a name holds."""
    numbers = set(re.findall("Generation([0-9]{1,9})", name))
    for path in PATHS:
        numbered = "{number}" in path
        for one in {path.format(number=number) for number in numbers} if numbered else {path}:
            yield _logical_id(one)


def _logical_id(path: str) -> str:
    """The logical id that the CDK makes of a path (aws-cdk-lib, core/lib/private/uniqueid)."""
    digest = hashlib.md5(path.encode(), usedforsecurity=False).hexdigest()[:8].upper()
    return "".join(part for part in path.split("/") if part != "Resource") + digest
