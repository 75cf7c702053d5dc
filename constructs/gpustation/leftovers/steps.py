"""One step of a removal: a command of the AWS CLI to paste, and the same call made by boto3.

Both come from the same words, so that what is shown and what is done cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore import xform_name

from gpustation.leftovers.commands import REFUSED, command

_SERVICES = {"s3api": "s3"}
"""Services that the AWS CLI names otherwise than boto3."""
_WAIT = "wait"


@dataclass(frozen=True)
class Step:
    """A step of a removal.

    Attributes:
        words: Service and operation as the AWS CLI names them, e.g. ``ec2 delete-volume`` or
            ``ec2 wait volume-deleted``.
        region: Region; empty for IAM, which has none.
        options: Options with their values, with underscores in their names; a tuple has several
            values of one.
    """

    words: str
    region: str = ""
    options: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """The command to paste; a comment if it is not safe to paste."""
        return command(self.words, self.region, **self.options)

    @property
    def is_safe(self) -> bool:
        """Whether there is a command to paste; without one nothing is called either."""
        return self.command != REFUSED

    @property
    def service(self) -> str:
        """Name of the service in boto3."""
        name = self.words.split()[0]
        return _SERVICES.get(name, name)

    def call(self, client_for: Callable[[str], Any]) -> None:
        """Make the call, or wait, as the command does.

        Args:
            client_for: Returns the client of a service in the step's region.

        Raises:
            ClientError: AWS refused.
            WaiterError: What is waited for failed, or took too long.
        """
        client, operation = client_for(self.service), self.words.split()[-1].replace("-", "_")
        if self.words.split()[1] == _WAIT:
            waiter = client.get_waiter(operation)
            operation = xform_name(waiter.config.operation)
            waiter.wait(**self.arguments(client, operation))
        else:
            getattr(client, operation)(**self.arguments(client, operation))

    def arguments(self, client: Any, operation: str) -> dict[str, Any]:
        """The options as arguments of a method, named by the API as the AWS CLI names them."""
        model = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[operation]
        )
        members = model.input_shape.members
        names = {xform_name(name): name for name in members}
        arguments: dict[str, Any] = {}
        for option, value in self.options.items():
            is_list = members[names[option]].type_name == "list"
            several = [value] if isinstance(value, str) else [*value]
            arguments[names[option]] = several if is_list else value
        return arguments
