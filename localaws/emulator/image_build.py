"""One build of Image Builder: a machine from the parent image, components, an image, its test."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from ministack.core.responses import get_region
from ministack.services import ec2, ssm

from localaws.awstoe.execution import Component, Execution
from localaws.emulator.image_builder import Entry
from localaws.emulator.instance_record import Launch, Record, role_session
from localaws.emulator.instances import Instances
from localaws.emulator.own_images import Wanted
from localaws.emulator.role_access import Log, clients, fetcher
from localaws.errors import ApiError

CREATED_BY = {"Key": "CreatedBy", "Value": "EC2 Image Builder"}
NEXT_TYPE = ("InsufficientInstanceCapacity", "Unsupported")
"""Refusals of a launch after which Image Builder tries the next instance type."""
_DATE = re.compile(r"\{\{\s*imagebuilder:buildDate\s*\}\}")
_BUILD = re.compile(r"\{\{\s*imagebuilder:buildVersion\s*\}\}")


class BuildError(RuntimeError):
    """A build failed; nothing of it is left."""


class Build:
    """The parts of one build.

    Args:
        fleet: Where instances and images are made.
        arn: The image's ARN, with the number of the build.
        recipe: What to build.
        components: The recipe's components.
        infrastructure: On which instances.
        distribution: What the image is called; None: Image Builder's own name.
        log_group: Where the log goes.
        tests: Whether the test phases run.
        goes_on: Asked between components: whether the build is still wanted.
    """

    def __init__(
        self,
        fleet: Instances,
        arn: str,
        *,
        recipe: Entry,
        components: list[Component],
        infrastructure: Entry,
        distribution: Entry | None,
        log_group: str,
        tests: bool,
        goes_on: Callable[[], bool],
    ) -> None:
        self._fleet = fleet
        self._arn = arn
        self._recipe = recipe
        self._components = components
        self._infrastructure = infrastructure
        self._distribution = distribution
        self._log_group = log_group
        self._tests = tests
        self._goes_on = goes_on
        self._instances: list[Record] = []
        self._image_id = ""

    def run(self) -> str:
        """Build and test; the id of the image.

        Raises:
            BuildError: A step failed or a machine could not be had; its text says which.
        """
        try:
            self._build()
            if self._tests:
                self._test()
            self._require_wanted()
        except Exception as error:
            self._undo()
            raise BuildError(str(error)) from error
        return self._image_id

    def _build(self) -> None:
        record = self._launch(self._parent(), "Build", self._recipe.properties)
        self._run(record, "build", "validate")
        self._fleet.stop(record)
        self._image_id = self._fleet.own.take(record, self._wanted()).image_id
        self._fleet.terminate(record)

    def _test(self) -> None:
        record = self._launch(self._image_id, "Test", {})
        self._run(record, "test")
        self._fleet.terminate(record)

    def _run(self, record: Record, *phases: str) -> None:
        """All components' phases, one after another, on an instance as soon as it is up."""
        access = clients(role_session(record))
        host = self._fleet.host(record, fetcher(access))
        log = Log(access, self._log_group, "/".join(self._arn.rsplit("/", 2)[1:]))
        execution = Execution(host, log.write)
        host.await_boot()
        try:
            for phase in phases:
                for component in self._components:
                    self._require_wanted()
                    execution.run(component, phase)
        finally:
            log.flush()

    def _require_wanted(self) -> None:
        if not self._goes_on():
            raise BuildError("the build was cancelled")

    def _undo(self) -> None:
        """No image, no snapshot, and no instance unless it shall be looked at."""
        keep = self._infrastructure.properties.get("TerminateInstanceOnFailure", True)
        if str(keep).lower() != "false":
            for record in self._instances:
                self._fleet.terminate(record)
        if self._image_id:
            self._fleet.own.deregister(self._image_id, with_snapshots=True)

    def _parent(self) -> str:
        """The id of the parent image."""
        named = str(self._recipe.properties["ParentImage"])
        scheme, _, name = named.partition(":")
        if scheme != "ssm":
            return named
        found = ssm._public_parameter(name) or ssm._parameters.get(name)
        if found is None:
            raise ApiError("ParameterNotFound", f"ParentImage: there is no parameter {name}")
        return str(found["Value"])

    def _launch(self, image_id: str, what: str, recipe: Any) -> Record:
        """An instance of the first type that can be had."""
        kinds = self._infrastructure.properties.get("InstanceTypes") or ["m5.large"]
        for number, kind in enumerate(kinds, 1):
            try:
                record = self._fleet.launch(self._wanted_instance(image_id, what, recipe, kind))
            except ApiError as error:
                if error.code not in NEXT_TYPE or number == len(kinds):
                    raise
            else:
                self._instances.append(record)
                return record
        raise AssertionError("the loop ends with a launch or a refusal")

    def _wanted_instance(self, image_id: str, what: str, recipe: Any, kind: str) -> Launch:
        about = self._infrastructure.properties
        options = about.get("InstanceMetadataOptions") or {}
        named = {"Key": "Name", "Value": f"{what} instance for {self._recipe.name}"}
        own = [{"Key": k, "Value": v} for k, v in (about.get("ResourceTags") or {}).items()]
        more = recipe.get("AdditionalInstanceConfiguration") or {}
        wanted = Launch(
            image_id=image_id,
            instance_type=kind,
            subnet_id=about.get("SubnetId") or ec2._DEFAULT_SUBNET_ID,
            groups=tuple(about.get("SecurityGroupIds") or ()),
            key_name=about.get("KeyPair", ""),
            profile=about["InstanceProfileName"],
            disks=tuple(recipe.get("BlockDeviceMappings") or ()),
            user_data=more.get("UserDataOverride", ""),
            tags=(named, *self._tags(), *own),
            volume_tags=(*self._tags(), *own),
            tokens=options.get("HttpTokens", "optional"),
        )
        return wanted

    def _wanted(self) -> Wanted:
        """The image as its distribution asks for it."""
        about = self._distribution.properties if self._distribution else {}
        rows = [one for one in about.get("Distributions", []) if one["Region"] == get_region()]
        asked: dict[str, Any] = rows[0].get("AmiDistributionConfiguration") or {} if rows else {}
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        name = asked.get("Name") or f"{self._recipe.name} {now}"
        tags = {**(self._recipe.properties.get("AmiTags") or {}), **(asked.get("AmiTags") or {})}
        return Wanted(
            name=_BUILD.sub(self._arn.rsplit("/", 1)[1], _DATE.sub(now, name)),
            description=asked.get("Description", ""),
            image_tags=(*self._tags(), *({"Key": k, "Value": v} for k, v in tags.items())),
            snapshot_tags=self._tags(),
        )

    def _tags(self) -> tuple[dict[str, str], ...]:
        return (CREATED_BY, {"Key": "Ec2ImageBuilderArn", "Value": self._arn})
