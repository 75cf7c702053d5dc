"""The settings of a workstation as a typed model, with a ``Row`` for each setting.

To add a setting, add a field here and use it; see docs/decisions/0013.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import pydantic
from pydantic import BeforeValidator

from gpustation.catalog.frameworks import Framework
from gpustation.catalog.images import baked_image
from gpustation.catalog.locked import LOCKED
from gpustation.catalog.quotas import QuotaMode
from gpustation.settings import github, values
from gpustation.settings.public_key import fingerprint, read_public_key
from gpustation.settings.rows import Of, Row, When


def _optional(read: Callable[[object], str]) -> BeforeValidator:
    """Validator of an optional setting: ``none`` and an empty value become an empty string."""
    return BeforeValidator(lambda value: "" if values.text(value) in values.UNSET else read(value))


def _public_key(value: object, info: pydantic.ValidationInfo) -> str:
    """The key's line; a warning about its comment is added to the validation context."""
    given = values.text(value)
    if given in values.UNSET:
        return ""
    key = read_public_key(given)
    if key.warning and info.context is not None:
        info.context["publicKeyComment"] = key.warning
    return key.line


def _number(low: int, high: int, unit: str, reason: str) -> BeforeValidator:
    return BeforeValidator(lambda value: values.whole_number(value, low, high, unit, reason))


_disk = _number(
    values.MIN_DISK_GIB,
    values.MAX_DISK_GIB,
    "GiB",
    f"Ubuntu, driver, CUDA libraries and framework need {values.MIN_DISK_GIB} GiB; use 64",
)
_generation = _number(1, 255, "", "each generation has its own subnet 10.0.<generation>.0/24")
_timeout = _number(5, 720, "minutes", "a wait condition waits 12 hours at most; 30 is usual")

_framework = BeforeValidator(lambda value: values.one_of(value, Framework))
_quota = BeforeValidator(lambda value: values.one_of(value, QuotaMode))
_boolean = BeforeValidator(values.boolean)


class Settings(pydantic.BaseModel):
    """All settings; the row of each describes its meaning and when a change takes effect."""

    # An invalid value may be a secret, which must not appear in a traceback
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[
        str,
        Row(
            "suffix of the stack names, so that several people can share an account: "
            "`GpuWorkstation-<name>`, `GpuImage-<name>`; up to 20 letters, digits and hyphens, "
            "starting with a letter ([several people](#several-people-in-one-account))",
            When.OTHER_STACKS,
            "anna",
            of=Of.OTHERS,
            default="none",
        ),
        _optional(values.name),
    ] = ""
    instance_type: Annotated[
        str,
        Row(
            "GPU instance type that the framework supports. MXNet: g4dn, g5, g6, gr6, g6e, "
            "p3dn, p4d, p4de; PyTorch: types with compute capability 7.5 or higher that driver "
            "580 supports, except p6",
            When.STOP_AND_START,
            "g4dn.2xlarge",
        ),
        BeforeValidator(values.instance_type),
    ] = "g4dn.xlarge"
    framework: Annotated[
        Framework,
        Row(
            "`mxnet` or `pytorch`",
            When.NEW_GENERATION,
            "pytorch",
        ),
        _framework,
    ] = Framework.MXNET
    image: Annotated[
        str,
        Row(
            "image of the machine: `ubuntu-24.04`, `ubuntu-22.04`, `dlami` (AWS Deep Learning "
            "Base AMI), `baked` (the id in the SSM parameter `/gpustation/image/<framework>`), "
            "`baked:<name>` (the image of that name), an id `ami-...`, or an SSM parameter "
            "`/...` (up to 900 characters and 15 levels)",
            When.NEW_GENERATION,
            "ubuntu-22.04",
            kept_if_unset=True,
        ),
        BeforeValidator(values.image),
    ] = "ubuntu-24.04"
    disk_gib: Annotated[
        int,
        Row(
            "size of the root disk in GiB, 30 or more; gp3, encrypted",
            When.NEW_GENERATION,
            100,
        ),
        _disk,
    ] = 64
    availability_zone: Annotated[
        str,
        Row(
            "name of a zone, such as `us-east-1a`; `auto` chooses one that offers the instance "
            "type",
            When.NEW_GENERATION,
            "us-east-1c",
            kept_if_unset=True,
        ),
        BeforeValidator(values.availability_zone),
    ] = "auto"
    public_key: Annotated[
        str,
        Row(
            "path or text of an OpenSSH public key that sshd accepts (RSA: 1024 to 16384 "
            "bits; no DSA); its comment is reduced to 100 of the characters "
            "`A-Z a-z 0-9 @ . _ + -`; the commands in the outputs do not need it",
            When.NEXT_BOOT,
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0N "
            "me@example",
            default="none",
            written=fingerprint,
        ),
        BeforeValidator(_public_key),
    ] = ""
    generation: Annotated[
        int,
        Row(
            "number of the machine, 1 to 255; another number creates a new machine with "
            "today's image, then deletes the old one with its disk",
            When.NEW_MACHINE,
            2,
        ),
        _generation,
    ] = 1
    ssh_cidr: Annotated[
        tuple[str, ...],
        Row(
            "IPv4 networks that may connect to port 22, up to 60, separated by commas; none: no "
            "inbound rule",
            When.IN_PLACE,
            "203.0.113.7/32",
            default="none",
        ),
        BeforeValidator(values.ssh_networks),
    ] = ()
    allow_world_ssh: Annotated[
        bool,
        Row(
            "must be true if `ssh_cidr` covers half of the IPv4 addresses or more, such as "
            "0.0.0.0/0",
            When.IN_PLACE,
            True,
            of=Of.NONE,
        ),
        _boolean,
    ] = False
    quota: Annotated[
        QuotaMode,
        Row(
            "what to do if the vCPU quota is too small: `enforce` fails the deploy, `warn` only "
            "reports it, `request` also requests an increase and fails with the request's id",
            When.IN_PLACE,
            "request",
        ),
        _quota,
    ] = QuotaMode.ENFORCE
    ready_timeout_minutes: Annotated[
        int,
        Row(
            "minutes that a deploy waits for the machine to report ready, 5 to 720",
            When.NEW_GENERATION,
            60,
        ),
        _timeout,
    ] = 30
    notebooks: Annotated[
        bool,
        Row(
            "install the book's notebooks in the home folder",
            When.NEXT_BOOT,
            False,
        ),
        _boolean,
    ] = True
    cuda_toolkit: Annotated[
        bool,
        Row(
            "install the distribution's CUDA toolkit, with `nvcc`",
            When.NEXT_BOOT,
            True,
        ),
        _boolean,
    ] = False
    role_credentials_for_users: Annotated[
        bool,
        Row(
            "let every user of the machine use its role's credentials; for roles with policies "
            "of your own",
            When.NEXT_BOOT,
            True,
        ),
        _boolean,
    ] = False
    python_mirror: Annotated[
        str,
        Row(
            "`https://HOST/FOLDER`, a mirror of the releases of "
            "[python-build-standalone](https://github.com/astral-sh/python-build-standalone); "
            "each file is checked by its hash; none: releases.astral.sh, then github.com. Used "
            "only where Ubuntu has no Python for the framework (MXNet; PyTorch on 22.04)",
            When.NEXT_BOOT,
            "https://mirror.example.com/python",
            default="none",
        ),
        _optional(values.mirror),
    ] = ""
    image_instance_type: Annotated[
        str,
        Row(
            "GPU instance type that builds and tests the image",
            When.NEXT_IMAGE,
            "g5.xlarge",
            of=Of.OTHERS,
            default="`instance_type`",
        ),
        _optional(values.instance_type),
    ] = ""
    image_retain: Annotated[
        bool,
        Row(
            "keep images that are replaced, or whose stack is destroyed; their snapshots cost "
            "0.05 USD per GiB and month",
            When.IN_PLACE,
            True,
            of=Of.OTHERS,
        ),
        _boolean,
    ] = False
    github_repository: Annotated[
        str,
        Row(
            "GitHub repository whose jobs may deploy, as `owner/name` or `owner@id/name@id` "
            "([ci.md](ci.md)); only the stack `Ci/GpuDeployRole` needs it",
            When.IN_PLACE,
            "octo-org/octo-repo",
            of=Of.OTHERS,
            default="none",
        ),
        _optional(github.repository),
    ] = ""
    github_environment: Annotated[
        str,
        Row(
            "GitHub environment in which such a job must run",
            When.IN_PLACE,
            "staging",
            of=Of.OTHERS,
        ),
        BeforeValidator(github.environment),
    ] = "production"
    github_oidc_provider_arn: Annotated[
        str,
        Row(
            "ARN of the account's existing identity provider for GitHub; none: the stack "
            "creates one and deletes it with itself",
            When.IN_PLACE,
            "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
            of=Of.OTHERS,
            default="none",
        ),
        _optional(github.provider_arn),
    ] = ""
    deploy_role_names: Annotated[
        tuple[str, ...],
        Row(
            "values of `name`, up to 40, separated by commas, whose stacks the role may also "
            "read; it can always read those without a name",
            When.IN_PLACE,
            "anna,bob",
            of=Of.OTHERS,
            default="none",
        ),
        BeforeValidator(values.names),
    ] = ()

    @property
    def build_type(self) -> str:
        """Instance type that builds and tests images."""
        return self.image_instance_type or self.instance_type

    @property
    def image_of_name(self) -> str:
        """The setting ``image``, with ``name`` added to ``baked``."""
        return baked_image(self.name) if self.image == baked_image() else self.image

    def deployed(self) -> dict[str, str]:
        """The settings for the workstation's Metadata, in the form of the command line.

        Settings that a machine keeps if they are not given are included only if given. A public
        key is represented by its fingerprint, as its comment may contain an e-mail address.
        """
        return {
            name: row.written(self.image_of_name if name == "image" else getattr(self, name))
            for name, row in rows_of(type(self)).items()
            if row.of is Of.WORKSTATION
            and not (row.kept_if_unset and name not in self.model_fields_set)
        }

    def locked_others(self) -> dict[str, tuple[str, str]]:
        """Locked settings without an own argument of ``ImageChoice``, for its ``others``.

        Machines older than such a setting have its default.
        """
        model = type(self)
        return {
            name: (row.written(getattr(self, name)), row.written(model.model_fields[name].default))
            for name, row in rows_of(model).items()
            if row.when is When.NEW_GENERATION and name not in LOCKED.values()
        }


def rows() -> dict[str, Row]:
    """The row of each setting, in the order of the model."""
    return rows_of(Settings)


def rows_of(model: type[pydantic.BaseModel]) -> dict[str, Row]:
    """The row of each field of a model; a field without a row is not a setting."""
    return {
        name: row
        for name, field in model.model_fields.items()
        for row in field.metadata
        if isinstance(row, Row)
    }
