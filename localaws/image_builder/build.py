"""One build of Image Builder: a machine from the parent image, components, an image, its test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

from localaws.account.ec2.instance_record import Record, role_session
from localaws.account.ec2.instances import Instances
from localaws.account.ec2.launch import Launch
from localaws.account.ec2.own_images import ImageRequest
from localaws.image_builder.execution import Execution
from localaws.image_builder.role_access import Log, clients, fetcher
from localaws.image_builder.service import Entry

CREATED_BY = {"Key": "CreatedBy", "Value": "EC2 Image Builder"}


class BuildError(RuntimeError):
    """A build failed; its instances and its image are deleted."""


class Build:
    """One build.

    Args:
        instances: Where instances and images are made.
        arn: The image's ARN, with the number of the build.
        recipe: What to build.
        components: The recipe's components.
        infrastructure: On which instances.
        log_group: Where the log goes.
        is_wanted: Asked between components: false ends the build.
    """

    def __init__(
        self,
        instances: Instances,
        arn: str,
        *,
        recipe: Entry,
        components: list[Entry],
        infrastructure: Entry,
        log_group: str,
        is_wanted: Callable[[], bool],
    ) -> None:
        self._instances = instances
        self._arn = arn
        self._recipe = recipe
        self._components = components
        self._infrastructure = infrastructure
        self._log_group = log_group
        self._is_wanted = is_wanted
        self._launched: list[Record] = []
        self._image_id = ""

    def run(self) -> str:
        """Build and test; returns the id of the image.

        Raises:
            BuildError: A step failed or an instance was refused; the text says which.
        """
        try:
            self._build()
            self._test()
            self._require_wanted()
        except Exception as error:
            self._undo()
            raise BuildError(str(error)) from error
        return self._image_id

    def _build(self) -> None:
        disks = self._recipe.properties.get("BlockDeviceMappings") or []
        record = self._launch(self._recipe.properties["ParentImage"], "Build", disks)
        self._run(record, "build", "validate")
        self._instances.stop(record)
        self._image_id = self._instances.own.take(record, self._image_request()).image_id
        self._instances.terminate(record)

    def _test(self) -> None:
        record = self._launch(self._image_id, "Test", [])
        self._run(record, "test")
        self._instances.terminate(record)

    def _run(self, record: Record, *phases: str) -> None:
        """Run phases of all components on an instance, as soon as it is up."""
        access = clients(role_session(record))
        host = self._instances.host(record, fetcher(access))
        log = Log(access, self._log_group, "/".join(self._arn.rsplit("/", 2)[1:]))
        execution = Execution(host, log.write)
        host.await_boot()
        try:
            for phase in phases:
                for component in self._components:
                    self._require_wanted()
                    execution.run(component.name, component.phases, phase)
        finally:
            log.flush()

    def _require_wanted(self) -> None:
        if not self._is_wanted():
            raise BuildError("the build was cancelled")

    def _undo(self) -> None:
        for record in self._launched:
            self._instances.terminate(record)
        if self._image_id:
            self._instances.own.deregister(self._image_id, with_snapshots=True)

    def _launch(self, image_id: str, purpose: str, disks: list[dict[str, object]]) -> Record:
        properties = self._infrastructure.properties
        name = {"Key": "Name", "Value": f"{purpose} instance for {self._recipe.name}"}
        tags = [*self._own_tags(), *_tags(properties.get("ResourceTags"))]
        (instance_type,) = properties["InstanceTypes"]
        record = self._instances.launch(
            Launch(
                image_id=image_id,
                instance_type=instance_type,
                subnet_id=properties["SubnetId"],
                groups=tuple(properties["SecurityGroupIds"]),
                profile=properties["InstanceProfileName"],
                disks=tuple(disks),
                tags=(name, *tags),
                volume_tags=tuple(tags),
                tokens=properties["InstanceMetadataOptions"]["HttpTokens"],
            )
        )
        self._launched.append(record)
        return record

    def _image_request(self) -> ImageRequest:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S.%fZ")
        return ImageRequest(
            name=f"{self._recipe.name} {now}",
            image_tags=(*self._own_tags(), *_tags(self._recipe.properties.get("AmiTags"))),
            snapshot_tags=self._own_tags(),
        )

    def _own_tags(self) -> tuple[dict[str, str], ...]:
        """The tags that Image Builder adds to everything it makes."""
        return (CREATED_BY, {"Key": "Ec2ImageBuilderArn", "Value": self._arn})


def _tags(tags: dict[str, str] | None) -> Iterator[dict[str, str]]:
    """Tags in EC2's form."""
    return ({"Key": key, "Value": value} for key, value in (tags or {}).items())
