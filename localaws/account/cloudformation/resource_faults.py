"""Planned faults of resources: any resource of a stack, at create, update or delete."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import stacks

from localaws.account.cloudformation.handler_errors import failure
from localaws.account.world import World
from localaws.reports import Operation

CODE = "GeneralServiceException"


def install(world: World) -> None:
    """Make resources fail where that is planned, before their services are called.

    Nothing was created or changed then, so only the stack's events show the attempt. A custom
    resource still gets its Delete, as on AWS, where its function may have created something.
    """
    create, update, delete = (
        stacks._provision_resource,
        stacks._update_resource,
        stacks._delete_resource,
    )

    def meet(operation: Operation, logical_id: str) -> None:
        reason = world.take_resource_fault(operation, logical_id)
        if reason is not None:
            raise failure(reason, CODE)

    def provision_resource(
        resource_type: str, logical_id: str, properties: Any, stack_name: str
    ) -> Any:
        meet("create", logical_id)
        return create(resource_type, logical_id, properties, stack_name)

    def update_resource(
        resource_type: str,
        physical_id: str,
        old: Any,
        new: Any,
        stack_name: str,
        logical_id: str,
        *rest: Any,
    ) -> Any:
        if old != new:
            meet("update", logical_id)
        return update(resource_type, physical_id, old, new, stack_name, logical_id, *rest)

    def delete_resource(
        resource_type: str, physical_id: str, properties: Any, stack_name: str, logical_id: str
    ) -> None:
        meet("delete", logical_id)
        delete(resource_type, physical_id, properties, stack_name, logical_id)

    stacks._provision_resource = provision_resource
    stacks._update_resource = update_resource
    stacks._delete_resource = delete_resource
