"""The component's document against Image Builder's schema, and its commands against shellcheck."""

import json
import shutil
import subprocess
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import Field

from tests.support.synthesis import component_data, resource, synthesize_image

DATA_LIMIT = 16_000
"""Characters (schema of AWS::ImageBuilder::Component)."""
VARIANTS: list[dict[str, Any]] = [
    {},
    {"framework": "pytorch", "notebooks": False, "cuda_toolkit": True},
]


class Strict(pydantic.BaseModel):
    """What is not named is refused; numbers are numbers."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Download(Strict):
    """Input of S3Download."""

    source: str = Field(pattern=r"^s3://[^/]+/.+")
    destination: str = Field(pattern=r"^/")
    expectedBucketOwner: str = ""
    overwrite: bool = True


class Commands(Strict):
    """Input of ExecuteBash."""

    commands: list[str] = Field(min_length=1)


class Step(Strict):
    """What all steps have."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    timeoutSeconds: int = Field(default=7200, ge=1, le=43_200)
    onFailure: Literal["Abort", "Continue", "Ignore"] = "Abort"
    maxAttempts: int = Field(default=1, ge=1, le=10)


class S3Download(Step):
    """A step that downloads."""

    action: Literal["S3Download"]
    inputs: list[Download] = Field(min_length=1)


class ExecuteBash(Step):
    """A step that runs commands; exit status 194 reboots and repeats it."""

    action: Literal["ExecuteBash"]
    inputs: Commands


class Phase(Strict):
    """Build and validate run before the image is taken, test on a machine of it."""

    name: Literal["build", "validate", "test"]
    steps: list[Annotated[S3Download | ExecuteBash, Field(discriminator="action")]] = Field(
        min_length=1
    )

    @pydantic.model_validator(mode="after")
    def _steps_have_names_of_their_own(self) -> "Phase":
        names = [step.name for step in self.steps]
        if len(set(names)) < len(names):
            raise ValueError(f"two steps of one name in {names}")
        return self


class Document(Strict):
    """A component's document."""

    name: str = ""
    description: str = ""
    schemaVersion: Literal[1] | float
    phases: list[Phase] = Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _is_of_version_one(self) -> "Document":
        if self.schemaVersion != 1.0:
            raise ValueError("there is schemaVersion 1.0 only")
        return self


def document(**settings: Any) -> Document:
    return Document.model_validate_json(component_data(synthesize_image(**settings)))


def steps(**settings: Any) -> dict[str, list[S3Download | ExecuteBash]]:
    return {phase.name: list(phase.steps) for phase in document(**settings).phases}


def commands(**settings: Any) -> list[str]:
    return [
        command
        for found in steps(**settings).values()
        for step in found
        if isinstance(step, ExecuteBash)
        for command in step.inputs.commands
    ]


@pytest.mark.parametrize("settings", VARIANTS)
def test_the_document_is_valid_and_fits(settings: dict[str, Any]) -> None:
    assert [phase.name for phase in document(**settings).phases] == ["build", "validate", "test"]
    data = component_data(synthesize_image(**settings))
    assert len(data) < DATA_LIMIT


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 2.0},
        {"parameter": []},
        {"phases": []},
        {"phases": [{"name": "deploy", "steps": []}]},
    ],
)
def test_fails_when_the_document_is_not_of_the_schema(change: dict[str, Any]) -> None:
    whole = json.loads(component_data(synthesize_image()))
    with pytest.raises(pydantic.ValidationError):
        Document.model_validate_json(json.dumps(whole | change))


@pytest.mark.parametrize(
    "change",
    [
        {"action": "RunBash"},
        {"timeout": 60},
        {"timeoutSeconds": "60"},
        {"onFailure": "Retry"},
        {"inputs": {"command": "true"}},
        {"inputs": ["true"]},
    ],
)
def test_fails_when_a_step_is_not_of_the_schema(change: dict[str, Any]) -> None:
    whole = json.loads(component_data(synthesize_image()))
    (step,) = (s for s in whole["phases"][0]["steps"] if s["name"] == "Install")
    step.update(change)
    with pytest.raises(pydantic.ValidationError):
        Document.model_validate_json(json.dumps(whole))


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck comes with make check")
@pytest.mark.parametrize("settings", VARIANTS)
def test_every_command_passes_shellcheck(settings: dict[str, Any]) -> None:
    found = commands(**settings)
    assert len(found) == 8
    for command in found:
        done = subprocess.run(
            ["shellcheck", "--shell=bash", "--enable=all", "-"],
            input=f"#!/bin/bash\n{command}\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_the_steps_come_in_their_order_and_the_first_failure_ends_the_build() -> None:
    found = steps()
    assert {name: [step.name for step in listed] for name, listed in found.items()} == {
        "build": ["Download", "Unpack", "Install", "Clean"],
        "validate": ["Check", "RemoveScripts"],
        "test": ["Download", "Unpack", "Verify", "CheckReuse"],
    }
    assert {step.onFailure for listed in found.values() for step in listed} == {"Abort"}


def test_the_scripts_are_those_of_the_asset_and_their_hash_is_checked(root: Any) -> None:
    (first, second) = steps()["build"][:2]
    assert isinstance(first, S3Download) and isinstance(second, ExecuteBash)
    key = first.inputs[0].source.rpartition("/")[2].removesuffix(".tar")
    (line,) = (c for c in second.inputs.commands[0].splitlines() if "sha256sum --check" in c)
    assert f"echo '{key}  {first.inputs[0].destination}' |" in line
    role = json.dumps(resource(synthesize_image(), "AWS::ImageBuilder::Component"))
    assert role.count(f"{key}.tar") == 2


def test_the_scripts_are_called_as_they_can_be_called(root: Any) -> None:
    for settings in VARIANTS:
        for command in commands(**settings):
            for word in command.split():
                if word.startswith("/var/tmp/gpustation/"):
                    assert (root / "userdata" / word.rpartition("/")[2]).is_file()
    words = next(c for c in commands(**VARIANTS[1]) if "image.sh install" in c).split()
    assert words[3:] == [
        *("--framework", "pytorch", "--user", "ubuntu", "--no-notebooks", "--cuda-toolkit"),
    ]


def test_the_build_machine_is_told_the_mirror_that_was_set() -> None:
    mirror = "https://mirror.example.com/python"
    (install,) = {c for c in commands(python_mirror=mirror) if "image.sh install" in c}
    assert install.rstrip().endswith(f"--python-mirror {mirror}")
    assert not any("--python-mirror" in c for c in commands())


def test_unpacking_refuses_another_archive(tmp_path: Any) -> None:
    (command,) = {c for c in commands() if "sha256sum" in c}
    here = command.replace("/var/tmp", str(tmp_path))
    (tmp_path / "gpustation.tar").write_bytes(b"of someone else")
    run = subprocess.run(["bash", "-c", here], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert not (tmp_path / "gpustation").exists()
