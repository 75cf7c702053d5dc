"""Reads out of a change set what a deploy would do to the machine and to everything else.

CloudFormation does not know what a reference will give, so it announces that a property which
cannot be changed *may* change ("Conditional"), where this project knows that it stays: an image
choice answers an update with what it answered before, or refuses it. So every announced change
is followed here to what causes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpustation.plan.change_set import Change

Template = Mapping[str, Any]
CHOICE = "Custom::ImageChoice"
INSTANCE = "AWS::EC2::Instance"
STOPPING = frozenset({"EbsOptimized", "InstanceType", "KernelId", "RamdiskId", "UserData"})
"""Properties of an instance with an EBS root disk, as every image choice demands one, whose change
stops and starts it (user guide, AWS::EC2::Instance: "Some interruptions")."""
_IN_PLACE = frozenset({"SecurityGroupIds"})
"""Announced as conditional too, for the sake of instances outside a VPC."""
_PATH = "aws:cdk:path"


class ChangeReading:
    """The changes of a stack, and what each comes to.

    Args:
        changes: The ``ResourceChange`` of every resource.
        old: Template of the stack as it is deployed.
        new: Template that would be deployed.
    """

    def __init__(self, changes: Iterable[Change], old: Template, new: Template) -> None:
        self._changes = {change["LogicalResourceId"]: change for change in changes}
        self._old = old.get("Resources", {})
        self._new = new.get("Resources", {})
        self._known: dict[str, frozenset[str]] = {}

    def of_type(self, resource_type: str, *actions: str) -> list[Change]:
        """The changes of all resources of a type that have one of these actions."""
        return [
            change
            for change in self._changes.values()
            if change["ResourceType"] == resource_type and change["Action"] in actions
        ]

    def count(self, action: str) -> int:
        """How many resources have an action."""
        return sum(change["Action"] == action for change in self._changes.values())

    def properties(self, change: Change) -> list[str]:
        """What of a resource really changes: names of properties, or of parts beside them."""
        details = change.get("Details", [])
        return sorted({_name(one) for one in details if self._is_effective(change, one)})

    def replacing(self, change: Change) -> frozenset[str]:
        """Why a resource is replaced: the properties, or nothing if it stays."""
        logical_id = change["LogicalResourceId"]
        if logical_id not in self._known:
            self._known[logical_id] = frozenset()  # a circle cannot be, and would end here
            self._known[logical_id] = self._replacing(change)
        return self._known[logical_id]

    def stopping(self, change: Change) -> list[str]:
        """Why a machine is stopped and started: the properties, or nothing if it is not."""
        return [name for name in self.properties(change) if name in STOPPING]

    def lines(self) -> list[str]:
        """What happens to the resources, in place first; the machine is told elsewhere."""
        found = []
        for logical_id, change in sorted(self._changes.items()):
            if change["Action"] != "Modify" or change["ResourceType"] == INSTANCE:
                continue
            if names := self.properties(change):
                verb = "is replaced" if self.replacing(change) else "changes in place"
                found.append(f"{self._path(logical_id)} {verb} ({', '.join(names)})")
        added, removed = self.count("Add"), self.count("Remove")
        if added or removed:
            found.append(f"{_resources(added)} made, {_resources(removed)} removed")
        return found

    def _replacing(self, change: Change) -> frozenset[str]:
        # A handler of this project keeps the identity of its custom resource
        if change["Action"] != "Modify" or change["ResourceType"].startswith("Custom::"):
            return frozenset()
        details = change.get("Details", [])
        if not details and change.get("Replacement", "False") != "False":
            return frozenset({"a reason that CloudFormation does not tell"})
        return frozenset(
            _name(one)
            for one in details
            if self._may_replace(change, one) and self._is_effective(change, one)
        )

    def _may_replace(self, change: Change, detail: Mapping[str, Any]) -> bool:
        needs = detail["Target"].get("RequiresRecreation", "Never")
        harmless = change["ResourceType"] == INSTANCE and _name(detail) in STOPPING | _IN_PLACE
        return needs == "Always" or (needs == "Conditionally" and not harmless)

    def _is_effective(self, change: Change, detail: Mapping[str, Any]) -> bool:
        """Whether the value really becomes another one."""
        if detail["Target"]["Attribute"] != "Properties":
            return bool(detail["Target"]["Attribute"] != "Metadata")  # a note in the template
        source = detail.get("ChangeSource", "DirectModification")
        if source in ("ResourceReference", "ResourceAttribute"):
            # Ids, ARNs and names of what stays stay too, and nothing else is referred to here
            cause = self._changes.get(detail["CausingEntity"].split(".")[0])
            return cause is not None and bool(self.replacing(cause))
        if source != "DirectModification" or detail.get("Evaluation") == "Static":
            return True
        # "Dynamic": the reference in it, which has a detail of its own, may be the only change
        return self._written(self._old, change, detail) != self._written(self._new, change, detail)

    @staticmethod
    def _written(resources: Mapping[str, Any], change: Change, detail: Mapping[str, Any]) -> object:
        resource = resources.get(change["LogicalResourceId"], {})
        return resource.get("Properties", {}).get(_name(detail))

    def _path(self, logical_id: str) -> str:
        """The construct's path, as the CDK CLI shows it, or the logical id."""
        for resources in (self._new, self._old):
            path = resources.get(logical_id, {}).get("Metadata", {}).get(_PATH)
            if path:
                return str(path).removesuffix("/Default").removesuffix("/Resource")
        return logical_id


def _name(detail: Mapping[str, Any]) -> str:
    target = detail["Target"]
    return str(target.get("Name") or target["Attribute"])


def _resources(count: int) -> str:
    return f"{count} resource{'s' if count != 1 else ''}"
