"""AWS::DynamoDB::Table with recovery and time to live, which ministack's CloudFormation loses."""

from __future__ import annotations

from typing import Any

from ministack.services import dynamodb
from ministack.services.cloudformation import provisioners

from localaws.account.ec2.volumes import is_true

TYPE = "AWS::DynamoDB::Table"
_SPECIFICATION, _ENABLED = "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"
_LIFE = "TimeToLiveSpecification"


def install() -> None:
    """Set them after ministack creates or updates."""
    handler = provisioners._RESOURCE_HANDLERS[TYPE]
    plain_create, plain_update = handler["create"], handler["update"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        made = plain_create(logical_id, properties, stack_name)
        _set_recovery(made[0], properties)
        _set_life(made[0], {}, properties)
        return made

    def update(name: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        made = plain_update(name, old, new, *rest)
        _set_recovery(made[0], new)
        _set_life(made[0], old, new)
        return made

    handler.update(create=create, update=update)


def _set_recovery(name: str, properties: dict[str, Any]) -> None:
    enabled = is_true((properties.get(_SPECIFICATION) or {}).get(_ENABLED))
    dynamodb._update_continuous_backups({"TableName": name, _SPECIFICATION: {_ENABLED: enabled}})


def _set_life(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = old.get(_LIFE) or {}, new.get(_LIFE) or {}
    on = is_true(after.get("Enabled"))
    if before != after and (on or is_true(before.get("Enabled"))):
        wanted = {**before, **after, "Enabled": on}
        dynamodb._update_ttl({"TableName": name, _LIFE: wanted})
