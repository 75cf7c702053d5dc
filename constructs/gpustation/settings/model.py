"""The settings of a workstation: one typed model, read from CDK context.

Faults do not raise: they are returned as lines, all at once, so that the stack can carry them as
error annotations. Those stop ``cdk deploy`` and let ``cdk destroy`` work.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator

from gpustation.catalog.gpu_types import gpu_types
from gpustation.catalog.images import baked_image
from gpustation.console.shown_text import looks_like_a_path, looks_secret, shown
from gpustation.settings import github, values
from gpustation.settings.public_key import read_public_key

LATER_SETTINGS = (
    "spot",
    "max_price_usd",
    "idle_stop_minutes",
    "stop_at",
    "monthly_budget_usd",
    "workstations",
)
"""Settings with a place in the design and no code yet: answered, never silently ignored."""

_CDK_KEYS = ("cli-telemetry", "acknowledged-issue-numbers")

Framework = Literal["mxnet", "pytorch"]
QuotaMode = Literal["enforce", "warn", "request"]


def _optional(read: Callable[[object], str]) -> BeforeValidator:
    """Empty where nothing is given, or ``none``."""
    return BeforeValidator(lambda value: "" if values.text(value) in values.UNSET else read(value))


def _public_key(value: object, info: pydantic.ValidationInfo) -> str:
    """The key's line; what was dropped of it goes into the context of the validation."""
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
    f"Ubuntu, driver, CUDA libraries and framework need {values.MIN_DISK_GIB} GiB; take 64",
)
_generation = _number(1, 255, "", "each generation has a subnet 10.0.<generation>.0/24 of its own")
_timeout = _number(5, 720, "minutes", "a wait condition waits 12 hours at most; 30 is usual")

_framework = BeforeValidator(lambda value: values.one_of(value, ("mxnet", "pytorch")))
_quota = BeforeValidator(lambda value: values.one_of(value, ("enforce", "warn", "request")))
_boolean = BeforeValidator(values.boolean)


class Settings(pydantic.BaseModel):
    """What a person may choose; the README's table says what each does and when it can change.

    Attributes:
        name: Whose stacks these are: letters, digits and hyphens, a letter first, 20 at most.
            Default: none, the stacks without a name.
        instance_type: EC2 instance type. Default: ``g4dn.xlarge``.
        framework: ``mxnet`` or ``pytorch``. Default: ``mxnet``.
        image: Name, AMI id or SSM parameter of the image; ``baked`` is that of ``name``, and
            ``baked:<name>`` another's. Default: ``ubuntu-24.04``.
        disk_gib: Root disk in GiB, gp3, encrypted. Default: 64.
        availability_zone: Zone's name, or ``auto`` for one that offers the type (the default).
        public_key: One OpenSSH public key line; empty (the default) adds none. Only A-Z a-z 0-9
            @ . _ + - are kept of its comment, 100 characters at most.
        generation: 1 to 255; another number builds a new machine. Default: 1.
        ssh_cidr: IPv4 networks that reach port 22, 60 at most. Default: none, so no inbound rule.
        allow_world_ssh: Must be true for networks that hold half of all IPv4 addresses or more.
            Default: false.
        quota: What a quota that is too small does. Default: ``enforce``, the deploy fails.
        ready_timeout_minutes: Minutes that the deploy waits for the machine. Default: 30.
        notebooks: D2L's notebooks in the home folder. Default: true.
        cuda_toolkit: Also install nvcc and the toolkit. Default: false.
        role_credentials_for_users: Every user of the machine may ask the instance metadata service
            for the role's credentials. Default: false, only root may.
        python_mirror: Address of a copy of python-build-standalone's releases, for machines whose
            system has no Python that the framework runs on. Default: none, releases.astral.sh or
            github.com.
        image_instance_type: EC2 type that builds and tests images; empty (the default) means
            ``instance_type``.
        image_retain: Images that are no longer the stack's stay in the account. Default: false.
        github_repository: ``owner/name`` or ``owner@id/name@id``, whose jobs may deploy. Default:
            none, so there is no role for them.
        github_environment: Environment that such a job must run in. Default: ``production``.
        github_oidc_provider_arn: The account's identity provider for GitHub. Default: none, so
            that the role's stack makes it.
        deploy_role_names: Names whose stacks the jobs may read too, 40 at most. Default: none,
            the stacks without a name alone.
    """

    # A refused value may be a secret, which no trace of a library's user may show
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Annotated[str, _optional(values.name)] = ""
    instance_type: Annotated[str, BeforeValidator(values.instance_type)] = "g4dn.xlarge"
    framework: Annotated[Framework, _framework] = "mxnet"
    image: Annotated[str, BeforeValidator(values.image)] = "ubuntu-24.04"
    disk_gib: Annotated[int, _disk] = 64
    availability_zone: Annotated[str, BeforeValidator(values.availability_zone)] = "auto"
    public_key: Annotated[str, BeforeValidator(_public_key)] = ""
    generation: Annotated[int, _generation] = 1
    ssh_cidr: Annotated[tuple[str, ...], BeforeValidator(values.ssh_networks)] = ()
    allow_world_ssh: Annotated[bool, _boolean] = False
    quota: Annotated[QuotaMode, _quota] = "enforce"
    ready_timeout_minutes: Annotated[int, _timeout] = 30
    notebooks: Annotated[bool, _boolean] = True
    cuda_toolkit: Annotated[bool, _boolean] = False
    role_credentials_for_users: Annotated[bool, _boolean] = False
    python_mirror: Annotated[str, _optional(values.mirror)] = ""
    image_instance_type: Annotated[str, _optional(values.instance_type)] = ""
    image_retain: Annotated[bool, _boolean] = False
    github_repository: Annotated[str, _optional(github.repository)] = ""
    github_environment: Annotated[str, BeforeValidator(github.environment)] = "production"
    github_oidc_provider_arn: Annotated[str, _optional(github.provider_arn)] = ""
    deploy_role_names: Annotated[tuple[str, ...], BeforeValidator(values.names)] = ()

    @property
    def build_type(self) -> str:
        """The type that builds and tests images."""
        return self.image_instance_type or self.instance_type

    @property
    def image_of_name(self) -> str:
        """The image, in which ``baked`` says whose it is."""
        return baked_image(self.name) if self.image == baked_image() else self.image


@dataclasses.dataclass(frozen=True)
class SettingsReport:
    """Settings as read, with what is wrong about them.

    Attributes:
        settings: The settings; a faulty one has its default here.
        faults: One line per fault; not empty means that nothing may be deployed.
        warnings: One line for each ignored key and shortened value, by the id that silences it.
        name_fault: The fault that leaves open whose stacks are meant: then not even a destroy may
            go on, as it would be another's. Empty where that is clear.
    """

    settings: Settings
    faults: tuple[str, ...]
    warnings: Mapping[str, str]
    name_fault: str = ""


def read_settings(context: Mapping[str, Any]) -> SettingsReport:
    """Reads the settings out of CDK's context, which also carries what is not ours.

    JSON's null means that a setting is not given.
    """
    given: dict[str, Any] = {}
    faults: list[str] = []
    warnings: dict[str, str] = {}
    name_fault = ""
    for key, value in context.items():
        if value is None:
            continue
        if key in Settings.model_fields:
            given[key] = value
        elif key in LATER_SETTINGS:
            faults.append(f"{_shown(key, value)}: known, not yet supported; remove it")
        elif near := _nearly_ours(key):
            faults.append(f"{_shown(key, value, near)}: no such setting; did you mean {near}?")
            name_fault = faults[-1] if near == "name" else name_fault
        elif not _is_cdks(key):
            warnings[_id_of_ignored(key)] = f"{shown(key)}: not a setting of gpustation, ignored"
    settings, value_faults = _validate(given, warnings)
    faults += value_faults.values()
    name_fault = value_faults.get("name", name_fault)
    conflicts = _conflicts(settings)
    # a rule on two settings is told only where neither is faulty by itself
    faults += [line for keys, line in conflicts.items() if not set(keys) & set(value_faults)]
    # What was not given stays so: ``model_fields_set`` tells it from a default that was given
    deployable = Settings(
        **settings.model_dump(exclude_unset=True, exclude={key for key, _ in conflicts})
    )
    return SettingsReport(deployable, tuple(faults), warnings, name_fault)


def _id_of_ignored(key: str) -> str:
    """The same for a key wherever it stands; a key with other letters has a hash of its own."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "", key)[:40]
    if plain != key or looks_secret(key):
        plain = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:8]
    return f"ignoredKey.{plain}"


def _is_cdks(key: str) -> bool:
    return key in _CDK_KEYS or any(mark in key for mark in ":/@")


def _nearly_ours(key: str) -> str | None:
    if _is_cdks(key):
        return None
    names = [*Settings.model_fields, *LATER_SETTINGS]
    folded = {name.replace("_", ""): name for name in names}
    plain = key.lower().replace("-", "").replace("_", "")
    close = difflib.get_close_matches(plain, folded, n=1, cutoff=0.8)
    # A first word, as in disk, or more of the name, as in github_repo
    starts = (f"{key.lower()}_", key.lower() if "_" in key else f"{key.lower()}_")
    prefixed = [name for name in names if name.startswith(starts)]
    # Of a short word difflib finds two exchanged letters too far away
    exchanged = [name for letters, name in folded.items() if sorted(letters) == sorted(plain)]
    near = [*(folded[one] for one in close), *exchanged, *prefixed]
    return next(iter(near), None)


def _validate(given: dict[str, Any], warnings: dict[str, str]) -> tuple[Settings, dict[str, str]]:
    """The settings with defaults in place of faulty values, and the fault of each such key."""
    try:
        return Settings.model_validate(given, context=warnings), {}
    except pydantic.ValidationError as error:
        faults = {str(e["loc"][0]): str(e["ctx"]["error"]) for e in error.errors()}
    sound = {key: value for key, value in given.items() if key not in faults}
    return Settings.model_validate(sound, context=warnings), {
        key: f"{_shown(key, given[key])}: {rule}" for key, rule in faults.items()
    }


def _shown(key: str, value: object, meant: str = "") -> str:
    """``key=value`` on one line. Of a public key only a path is shown: the rest may be private."""
    given = values.text(value)
    if "public_key" in (key, meant):
        return f"{shown(key)}={shown(given, 255)}" if looks_like_a_path(given) else shown(key)
    return f"{shown(key)}={shown(given)}"


def _conflicts(settings: Settings) -> dict[tuple[str, str], str]:
    """Faults of two settings together; the default of the first resolves each."""
    found: dict[tuple[str, str], str] = {}
    gpu_type = gpu_types()[settings.instance_type]
    for key in ("instance_type", "image_instance_type"):
        conflict = _framework_conflict(key, getattr(settings, key), settings.framework)
        if conflict:
            found[key, "framework"] = conflict
    if settings.image == "dlami" and gpu_type.driver != "open":
        found["image", "instance_type"] = (
            f"image=dlami: its open driver does not drive the {gpu_type.gpu.upper()} of "
            f"instance_type={gpu_type.name}; take image=ubuntu-24.04"
        )
    if values.covers_the_world(settings.ssh_cidr) and not settings.allow_world_ssh:
        found["ssh_cidr", "allow_world_ssh"] = (
            f"{_shown('ssh_cidr', ','.join(settings.ssh_cidr))}: opens port 22 to half of the "
            "internet or more; pass your own address with /32, or allow_world_ssh=true if you "
            "mean it"
        )
    return found


def _framework_conflict(key: str, instance_type: str, framework: str) -> str | None:
    gpu_type = gpu_types().get(instance_type)
    obstacle = gpu_type.obstacle(framework) if gpu_type else None
    if gpu_type is None or obstacle is None:
        return None
    remedy = values.take_one_of(framework)
    other = "pytorch" if framework == "mxnet" else "mxnet"
    if gpu_type.obstacle(other) is None:
        remedy += f", or framework={other}"
    return f"{key}={instance_type}: not with framework={framework}, {obstacle}; {remedy}"
