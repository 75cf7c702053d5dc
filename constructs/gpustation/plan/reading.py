"""Determines the effective changes in a change set.

CloudFormation cannot predict what a reference resolves to, so it reports such properties as
conditionally replaced. An image choice returns the same values at every update, or refuses it. So
each reported change is traced to its cause here, and only effective changes count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpustation.plan.change_set import Change

Template = Mapping[str, Any]
CHOICE = "Custom::ImageChoice"
INSTANCE = "AWS::EC2::Instance"
STOPPING = frozenset({"EbsOptimized", "InstanceType", "KernelId", "RamdiskId", "UserData"})
"""Properties whose change stops and starts an instance with an EBS root volume, which the image
choice requires (user guide, AWS::EC2::Instance: "Some interruptions")."""
_IN_PLACE = frozenset({"SecurityGroupIds"})
"""Reported as conditional although it replaces only instances outside a VPC."""
_PATH = "aws:cdk:path"


class ChangeReading:
    """The effective changes of a stack.

    Args:
        changes: The ``ResourceChange`` of every changed resource.
        old: The deployed template.
        new: The template to deploy.
    """

    def __init__(self, changes: Iterable[Change], old: Template, new: Template) -> None:
        self._changes = {change["LogicalResourceId"]: change for change in changes}
        self._old = old.get("Resources", {})
        self._new = new.get("Resources", {})
        self._known: dict[str, frozenset[str]] = {}

    def of_type(self, resource_type: str, *actions: str) -> list[Change]:
        """The changes of all resources of a type with one of these actions."""
        return [
            change
            for change in self._changes.values()
            if change["ResourceType"] == resource_type and change["Action"] in actions
        ]

    def count(self, action: str) -> int:
        """Number of resources with this action."""
        return sum(change["Action"] == action for change in self._changes.values())

    def properties(self, change: Change) -> list[str]:
        """Names of the properties, or other attributes, of a resource that effectively change."""
        details = change.get("Details", [])
        return sorted({_name(detail) for detail in details if self._is_effective(change, detail)})

    def replacing(self, change: Change) -> frozenset[str]:
        """Properties that cause the resource to be replaced; empty if it is not replaced."""
        logical_id = change["LogicalResourceId"]
        if logical_id not in self._known:
            self._known[logical_id] = frozenset()  # ends the recursion if references are circular
            self._known[logical_id] = self._replacing(change)
        return self._known[logical_id]

    def stopping(self, change: Change) -> list[str]:
        """Properties that cause the instance to stop and start; empty if it keeps running."""
        return [name for name in self.properties(change) if name in STOPPING]

    def lines(self) -> list[str]:
        """One line for each change of a resource other than the instance."""
        lines = []
        for logical_id, change in sorted(self._changes.items()):
            if change["Action"] != "Modify" or change["ResourceType"] == INSTANCE:
                continue
            if names := self.properties(change):
                verb = "is replaced" if self.replacing(change) else "changes in place"
                lines.append(f"{self._path(logical_id)} {verb} ({', '.join(names)})")
        added, removed = self.count("Add"), self.count("Remove")
        if added or removed:
            lines.append(f"{_resources(added)} created, {_resources(removed)} deleted")
        return lines

    def _replacing(self, change: Change) -> frozenset[str]:
        # The handlers of this project never change the physical id of a custom resource
        if change["Action"] != "Modify" or change["ResourceType"].startswith("Custom::"):
            return frozenset()
        details = change.get("Details", [])
        if not details and change.get("Replacement", "False") != "False":
            return frozenset({"a reason that CloudFormation does not give"})
        return frozenset(
            _name(detail)
            for detail in details
            if self._may_replace(change, detail) and self._is_effective(change, detail)
        )

    def _may_replace(self, change: Change, detail: Mapping[str, Any]) -> bool:
        needs = detail["Target"].get("RequiresRecreation", "Never")
        harmless = change["ResourceType"] == INSTANCE and _name(detail) in STOPPING | _IN_PLACE
        return needs == "Always" or (needs == "Conditionally" and not harmless)

    def _is_effective(self, change: Change, detail: Mapping[str, Any]) -> bool:
        """Whether the value changes."""
        if detail["Target"]["Attribute"] != "Properties":
            return bool(detail["Target"]["Attribute"] != "Metadata")  # ignored by CloudFormation
        source = detail.get("ChangeSource", "DirectModification")
        if source in ("ResourceReference", "ResourceAttribute"):
            # The templates refer only to ids, ARNs and names, which change only by replacement, and
            # to the price, whose change concerns the message at login alone
            cause = self._changes.get(detail["CausingEntity"].split(".")[0])
            return cause is not None and bool(self.replacing(cause))
        if source != "DirectModification" or detail.get("Evaluation") == "Static":
            return True
        # "Dynamic": possibly only a reference in the value changes, which has a detail of its own
        return self._value(self._old, change, detail) != self._value(self._new, change, detail)

    @staticmethod
    def _value(resources: Mapping[str, Any], change: Change, detail: Mapping[str, Any]) -> object:
        resource = resources.get(change["LogicalResourceId"], {})
        return resource.get("Properties", {}).get(_name(detail))

    def _path(self, logical_id: str) -> str:
        """The construct path, as shown by the CDK CLI, or the logical id."""
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
