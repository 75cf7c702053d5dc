"""The settings of a workstation as a typed model, with a ``Row`` for each setting.

To add a setting, add a field here and use it; see docs/decisions/0013.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from gpustation.catalog.frameworks import Framework
from gpustation.catalog.images import baked_image
from gpustation.catalog.locked import LOCKED
from gpustation.catalog.quotas import QuotaMode
from gpustation.catalog.spot import SpotMode
from gpustation.settings import daily_stop, github, values
from gpustation.settings.public_key import fingerprint, read_public_key
from gpustation.settings.rows import Of, Row, When

_Read = Callable[[object], Any]
"""Returns a setting's value from one of CDK context, or raises ``ValueError`` with the rule."""


def _setting(default: Any, read: _Read, row: Row) -> Any:
    return dataclasses.field(default=default, metadata={"read": read, "row": row})


def _optional(read: Callable[[object], str]) -> _Read:
    """Reads an optional setting: ``none`` and an empty value become an empty string."""
    return lambda value: "" if values.text(value) in values.UNSET else read(value)


def _public_key(value: object) -> str:
    return read_public_key(values.text(value)).line


def _number(low: int, high: int, unit: str, reason: str) -> _Read:
    return lambda value: values.whole_number(value, low, high, unit, reason)


_disk = _number(
    values.MIN_DISK_GIB,
    values.MAX_DISK_GIB,
    "GiB",
    f"Ubuntu, driver, CUDA libraries and framework need {values.MIN_DISK_GIB} GiB; use 64",
)
_generation = _number(1, 255, "", "each generation has its own subnet 10.0.<generation>.0/24")
_idle_stop = _number(
    values.MIN_IDLE_MINUTES,
    values.MAX_IDLE_MINUTES,
    "minutes",
    "0 turns it off",
)
_scratch = _number(
    0,
    values.MAX_SCRATCH_GIB,
    "GiB",
    "0: nothing on /scratch delays the idle stop",
)
_patience = _number(
    0,
    daily_stop.MAX_PATIENCE_MINUTES,
    "minutes",
    "0: at stop_at, whatever runs",
)
_budget_usd = _number(1, values.MAX_BUDGET_USD, "USD", "none: no limit")
_timeout = _number(5, 720, "minutes", "a wait condition waits 12 hours at most; 30 is usual")


def _idle_minutes(value: object) -> int:
    return 0 if values.text(value) == "0" else _idle_stop(value)


def _budget(value: object) -> int:
    return 0 if values.text(value) in (*values.UNSET, "0") else _budget_usd(value)


def _framework(value: object) -> Framework:
    return Framework(values.one_of(value, Framework))


def _quota(value: object) -> QuotaMode:
    return QuotaMode(values.one_of(value, QuotaMode))


def _spot(value: object) -> SpotMode:
    return SpotMode(values.one_of(values.text(value).lower(), SpotMode))


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings; the row of each describes its meaning and when a change takes effect.

    Raises:
        ValueError: Values break the rules of their settings. The message has a line for each with
            the rule, but not with the value, which may be a secret.
    """

    model_fields: ClassVar[Mapping[str, dataclasses.Field[Any]]]
    """The fields by name, in the order of the class."""

    name: str = _setting(
        "",
        _optional(values.name),
        Row(
            "suffix of the stack names, so that several people can share an account: "
            "`GpuWorkstation-<name>`, `GpuImage-<name>`; up to 20 letters, digits and hyphens, "
            "starting with a letter ([several people](#several-people-in-one-account))",
            When.OTHER_STACKS,
            "anna",
            of=Of.OTHERS,
            default="none",
        ),
    )
    instance_type: str = _setting(
        "g4dn.xlarge",
        values.instance_type,
        Row(
            "GPU instance type that the framework supports. MXNet: g4dn, g5, g6, gr6, g6e, "
            "p3dn, p4d, p4de; PyTorch: types with compute capability 7.5 or higher that driver "
            "580 supports, except p6",
            When.STOP_AND_START,
            "g4dn.2xlarge",
        ),
    )
    framework: Framework = _setting(
        Framework.MXNET,
        _framework,
        Row(
            "`mxnet` or `pytorch`",
            When.NEW_GENERATION,
            "pytorch",
        ),
    )
    image: str = _setting(
        "ubuntu-24.04",
        values.image,
        Row(
            "image of the machine: `ubuntu-24.04`, `ubuntu-22.04`, `dlami` (AWS Deep Learning "
            "Base AMI), `baked` (the id in the SSM parameter `/gpustation/image/<framework>`), "
            "`baked:<name>` (the image of that name), an id `ami-...`, or an SSM parameter "
            "`/...` (up to 900 characters and 15 levels)",
            When.NEW_GENERATION,
            "ubuntu-22.04",
            kept_if_unset=True,
        ),
    )
    disk_gib: int = _setting(
        64,
        _disk,
        Row(
            "size of the root disk in GiB, 30 or more; gp3, encrypted",
            When.NEW_GENERATION,
            100,
        ),
    )
    availability_zone: str = _setting(
        "auto",
        values.availability_zone,
        Row(
            "name of a zone, such as `us-east-1a`; `auto` chooses one that offers the instance "
            "type",
            When.NEW_GENERATION,
            "us-east-1c",
            kept_if_unset=True,
        ),
    )
    public_key: str = _setting(
        "",
        _optional(_public_key),
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
    )
    generation: int = _setting(
        1,
        _generation,
        Row(
            "number of the machine, 1 to 255; another number creates a new machine with "
            "today's image, then deletes the old one with its disk",
            When.NEW_MACHINE,
            2,
        ),
    )
    ssh_cidr: tuple[str, ...] = _setting(
        (),
        values.ssh_networks,
        Row(
            "IPv4 networks that may connect to port 22, up to 60, separated by commas; none: no "
            "inbound rule",
            When.IN_PLACE,
            "203.0.113.7/32",
            default="none",
        ),
    )
    allow_world_ssh: bool = _setting(
        False,
        values.boolean,
        Row(
            "must be true if `ssh_cidr` covers half of the IPv4 addresses or more, such as "
            "0.0.0.0/0",
            When.IN_PLACE,
            True,
            of=Of.NONE,
        ),
    )
    quota: QuotaMode = _setting(
        QuotaMode.ENFORCE,
        _quota,
        Row(
            "what to do if the vCPU quota is too small: `enforce` fails the deploy, `warn` only "
            "reports it, `request` also requests an increase and fails with the request's id",
            When.IN_PLACE,
            "request",
        ),
    )
    capacity_check: bool = _setting(
        True,
        values.boolean,
        Row(
            "ask zone after zone for room before the machine is launched or its type changes, and "
            "hold it for the machine; costs up to a minute of the machine per deploy "
            "([capacity.md](capacity.md)); `false`: the launch itself is the test, in one zone",
            When.IN_PLACE,
            False,
        ),
    )
    spot: SpotMode = _setting(
        SpotMode.FALSE,
        _spot,
        Row(
            "`true`: buy the machine on the spot market, where it costs less, and EC2 may stop it "
            "with two minutes' notice; it starts it again when it can. `prefer`: decided when the "
            "machine is created, by quota and offers ([spot.md](spot.md))",
            When.NEW_GENERATION,
            "true",
        ),
    )
    ready_timeout_minutes: int = _setting(
        30,
        _timeout,
        Row(
            "minutes that a deploy waits for the machine to report ready, 5 to 720",
            When.NEW_GENERATION,
            60,
        ),
    )
    notebooks: bool = _setting(
        True,
        values.boolean,
        Row(
            "install the book's notebooks in the home folder",
            When.NEXT_BOOT,
            False,
        ),
    )
    cuda_toolkit: bool = _setting(
        False,
        values.boolean,
        Row(
            "install the distribution's CUDA toolkit, with `nvcc`",
            When.NEXT_BOOT,
            True,
        ),
    )
    role_credentials_for_users: bool = _setting(
        False,
        values.boolean,
        Row(
            "let every user of the machine use its role's credentials; for roles with policies "
            "of your own",
            When.NEXT_BOOT,
            True,
        ),
    )
    python_mirror: str = _setting(
        "",
        _optional(values.mirror),
        Row(
            "`https://HOST/FOLDER`, a mirror of the releases of "
            "[python-build-standalone](https://github.com/astral-sh/python-build-standalone); "
            "each file is checked by its hash; none: releases.astral.sh, then github.com. Used "
            "only where Ubuntu has no Python for the framework (MXNet; PyTorch on 22.04)",
            When.NEXT_BOOT,
            "https://mirror.example.com/python",
            default="none",
        ),
    )
    idle_stop_minutes: int = _setting(
        60,
        _idle_minutes,
        Row(
            "minutes in which nothing moves on the machine before it stops itself, 10 to 1440; 0: "
            "it does not stop itself ([idle-stop.md](idle-stop.md))",
            When.NEXT_BOOT,
            120,
        ),
    )
    idle_stop_scratch_gib: int = _setting(
        0,
        _scratch,
        Row(
            "GiB on `/scratch`, which a stop loses: while more is there, an idle machine stops "
            "after 2 h (or `idle_stop_minutes` if that is longer), as if somebody were there; 0: "
            "that makes no difference ([idle-stop.md](idle-stop.md))",
            When.NEXT_BOOT,
            50,
        ),
    )
    stop_at: str = _setting(
        "",
        _optional(daily_stop.stop_at),
        Row(
            "time of day at which the machine is stopped, and a time zone of the IANA database, "
            "such as `22:00 Europe/Berlin`; none: it is not ([daily-stop.md](daily-stop.md))",
            When.IN_PLACE,
            "22:00 Europe/Berlin",
            default="none",
        ),
    )
    stop_at_patience: int = _setting(
        0,
        _patience,
        Row(
            "minutes by which work on the machine or `gpustation keep-awake` may delay that stop, "
            "0 to 720",
            When.IN_PLACE,
            30,
        ),
    )
    monthly_budget_usd: int = _setting(
        0,
        _budget,
        Row(
            "what the machine may cost in a calendar month, in USD at list price, 1 to 100000: "
            "then it is stopped, until the next month or a higher limit. Counted are machine, "
            "address and disk; not traffic, images, tax and discounts "
            "([spend-limit.md](spend-limit.md))",
            When.IN_PLACE,
            20,
            default="none",
            written=lambda usd: str(usd) if usd else "none",
        ),
    )
    budget_email: str = _setting(
        "",
        _optional(values.email),
        Row(
            "address that AWS tells when 50, 80 and 100 % of `monthly_budget_usd` are spent, once "
            "its owner has confirmed the first mail",
            When.IN_PLACE,
            "me@example.com",
            default="none",
        ),
    )
    image_instance_type: str = _setting(
        "",
        _optional(values.instance_type),
        Row(
            "GPU instance type that builds and tests the image",
            When.NEXT_IMAGE,
            "g5.xlarge",
            of=Of.OTHERS,
            default="`instance_type`",
        ),
    )
    image_retain: bool = _setting(
        False,
        values.boolean,
        Row(
            "keep images that are replaced, or whose stack is destroyed; their snapshots cost "
            "0.05 USD per GiB and month",
            When.IN_PLACE,
            True,
            of=Of.OTHERS,
        ),
    )
    github_repository: str = _setting(
        "",
        _optional(github.repository),
        Row(
            "GitHub repository whose jobs may deploy, as `owner/name` or `owner@id/name@id` "
            "([ci.md](ci.md)); only the stacks `Ci/GpuDeployRole` and `Ci/GpuAcceptanceRole` need "
            "it",
            When.IN_PLACE,
            "octo-org/octo-repo",
            of=Of.OTHERS,
            default="none",
        ),
    )
    github_environment: str = _setting(
        "production",
        github.environment,
        Row(
            "GitHub environment in which such a job must run; that of acceptance runs is always "
            "`acceptance`",
            When.IN_PLACE,
            "staging",
            of=Of.OTHERS,
        ),
    )
    github_oidc_provider_arn: str = _setting(
        "",
        _optional(github.provider_arn),
        Row(
            "ARN of the account's existing identity provider for GitHub; none: the stack "
            "creates one and deletes it with itself",
            When.IN_PLACE,
            "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com",
            of=Of.OTHERS,
            default="none",
        ),
    )
    deploy_role_names: tuple[str, ...] = _setting(
        (),
        values.names,
        Row(
            "values of `name`, up to 40, separated by commas, whose stacks the role may also "
            "read; it can always read those without a name",
            When.IN_PLACE,
            "anna,bob",
            of=Of.OTHERS,
            default="none",
        ),
    )

    def __post_init__(self) -> None:
        faults = []
        for name in self.model_fields:
            try:
                object.__setattr__(self, name, read_value(name, getattr(self, name)))
            except ValueError as fault:
                faults.append(f"{name}: {fault}")
        if faults:
            raise ValueError("\n".join(faults))

    @property
    def build_type(self) -> str:
        """Instance type that builds and tests images."""
        return self.image_instance_type or self.instance_type

    @property
    def image_of_name(self) -> str:
        """The setting ``image``, with ``name`` added to ``baked``."""
        return baked_image(self.name) if self.image == baked_image() else self.image

    def locked_others(self) -> dict[str, tuple[str, str]]:
        """Locked settings without an own argument of ``ImageChoice``, for its ``others``.

        Machines older than such a setting have its default.
        """
        return {
            name: (
                row.written(getattr(self, name)),
                row.written(self.model_fields[name].default),
            )
            for name, row in rows().items()
            if row.when is When.NEW_GENERATION and name not in LOCKED.values()
        }


Settings.model_fields = {field.name: field for field in dataclasses.fields(Settings)}


def read_value(name: str, value: object) -> Any:
    """The value of a setting from one of CDK context.

    Raises:
        ValueError: It breaks the setting's rule; the message has the rule and the remedy.
    """
    return Settings.model_fields[name].metadata["read"](value)


def rows() -> dict[str, Row]:
    """The row of each setting, in the order of the model."""
    return {name: field.metadata["row"] for name, field in Settings.model_fields.items()}


def deployed(settings: Settings, given: Collection[str]) -> dict[str, str]:
    """The settings for the workstation's Metadata, in the form of the command line.

    Args:
        settings: The settings of the deploy.
        given: Names of those that are given. Settings that a machine keeps if they are not given
            are included only if given.

    Returns:
        Values by name; a public key is represented by its fingerprint, as its comment may contain
        an e-mail address.
    """
    return {
        name: row.written(settings.image_of_name if name == "image" else getattr(settings, name))
        for name, row in rows().items()
        if row.of is Of.WORKSTATION and not (row.kept_if_unset and name not in given)
    }
