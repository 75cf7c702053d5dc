"""What every workflow keeps to, beside what actionlint and zizmor look at in `make check`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpustation.catalog.frameworks import Framework
from gpustation.plan.judgement import Effect
from gpustation.settings.model import rows
from gpustation.settings.values import IMAGES

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
OF_A_STACK = ("deploy", "destroy", "image")
PROPOSES = ("acceptance", "propose")
"""The only job that writes to the repository: it pushes a branch, and opens its pull request."""


def named_jobs(file: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Each job by the names of its workflow and its own."""
    found = yaml.safe_load(file.read_text())["jobs"]
    return {(file.stem, name): job for name, job in found.items()}


def jobs(file: Path) -> list[dict[str, Any]]:
    return [*named_jobs(file).values()]


def test_all_are_there() -> None:
    assert [file.stem for file in FILES] == [
        *("acceptance", "deploy", "destroy", "image", "nightly", "test")
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_least_rights_pins_and_an_end(file: Path) -> None:
    text = file.read_text()
    assert yaml.safe_load(text)["permissions"] == {}
    assert "secrets." not in text
    lines = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]
    assert lines
    assert all(PINNED.match(line) for line in lines), lines
    for name, job in named_jobs(file).items():
        if name == PROPOSES:
            assert job["permissions"] == {"contents": "write", "pull-requests": "write"}
        else:
            assert set(job["permissions"]) <= {"contents", "id-token"}
            assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 360, "GitHub's own limit"
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_only_jobs_of_a_stack_take_the_role_and_they_wait_for_one_another(file: Path) -> None:
    whole = yaml.safe_load(file.read_text())
    of_a_stack = file.stem in OF_A_STACK
    for name, job in named_jobs(file).items():
        takes_a_role = of_a_stack or name == ("acceptance", "run")
        assert (job["permissions"].get("id-token") == "write") is takes_a_role
        assert ("environment" in job) is takes_a_role
    if of_a_stack:
        assert len(jobs(file)) == 1
        assert whole["concurrency"]["cancel-in-progress"] is False
        behind = "${{ inputs.name && '-' }}${{ inputs.name }}"
        names = {
            "deploy": f"GpuWorkstation{behind}",
            "image": f"GpuImage{behind}",
            "destroy": "${{ inputs.confirm }}",
        }
        assert whole["concurrency"]["group"] == names[file.stem]


def test_acceptance_compares_the_account_first_and_runs_one_at_a_time() -> None:
    """Its session and its role: tests/infra/test_gpu_acceptance_role_stack.py."""
    file = ROOT / ".github" / "workflows" / "acceptance.yml"
    whole = yaml.safe_load(file.read_text())
    assert whole["concurrency"] == {"group": "acceptance", "cancel-in-progress": False}
    run = named_jobs(file)["acceptance", "run"]
    assert run["if"] == "github.event_name == 'workflow_dispatch' || vars.ACCEPTANCE_ACCOUNT"
    first = next(step for step in run["steps"] if step.get("run") not in (None, "make setup"))
    assert first["run"] == "ci/acceptance.sh"
    assert named_jobs(file)[PROPOSES]["needs"] == "run"


def test_an_action_has_one_version_everywhere() -> None:
    found: dict[str, set[str]] = {}
    for file in FILES:
        for name, pin in re.findall(r"uses: ([^@\s]+)@(.+)", file.read_text()):
            found.setdefault(name, set()).add(pin)
    assert all(len(pins) == 1 for pins in found.values()), found


def test_the_tests_run_on_every_promised_python() -> None:
    """All of `make test` on one, the quick tier on the others."""
    promised = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert promised is not None
    whole, quick = jobs(ROOT / ".github" / "workflows" / "test.yml")
    (setup,) = [step for step in whole["steps"] if "setup-python" in step.get("uses", "")]
    versions = {setup["with"]["python-version"], *quick["strategy"]["matrix"]["python"]}
    assert versions == {f"3.{minor}" for minor in range(int(promised[1]), 14)}


def test_the_form_of_a_deploy_has_settings_and_passes_each_on() -> None:
    """Those it leaves out are written into `more`."""
    deploy = ROOT / ".github" / "workflows" / "deploy.yml"
    # YAML 1.1 reads the key `on` as true
    inputs = yaml.safe_load(deploy.read_text())[True]["workflow_dispatch"]["inputs"]
    settings = {name: given for name, given in inputs.items() if name not in ("may", "more")}
    assert settings.keys() <= rows().keys()
    (plan,) = [step for step in jobs(deploy)[0]["steps"] if step.get("run") == "ci/plan.sh"]
    passed = {f"SETTING_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in settings}
    assert passed.items() <= plan["env"].items()
    for name, words in {"framework": Framework, "image": IMAGES}.items():
        for word in words:
            assert word in settings[name]["description"]


def commands(workflow: str) -> str:
    steps = [
        step for job in jobs(ROOT / f".github/workflows/{workflow}.yml") for step in job["steps"]
    ]
    return "\n".join(step.get("run", "") for step in steps)


@pytest.mark.parametrize(
    ("workflow", "target"),
    [("test", "check"), ("test", "test"), ("test", "quick"), ("nightly", "test-all")],
)
def test_each_tier_is_run(workflow: str, target: str) -> None:
    assert re.search(rf"make {target}$", commands(workflow), re.MULTILINE)


def test_the_documentation_tells_what_the_guard_allows() -> None:
    """Each `--allow` list of ci/plan.sh, against the table of docs/ci.md."""
    script = (ROOT / "ci" / "plan.sh").read_text()
    limits = {
        limit.strip("'"): words.split()
        for limit, words in re.findall(r"^  (\S+)\) may=\(([^)]*)\) ;;$", script, re.MULTILINE)
    }
    assert list(limits) == ["", "in-place", "stops", "replaced"]
    told = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "ci.md").read_text().splitlines()
        if re.match(r"\| \d+ \|", line)
    ]
    assert [[row[0], row[1].split("`")[1]] for row in told] == [
        [str(one.status), one.word] for one in Effect
    ]
    for effect, row in zip(Effect, told, strict=True):
        for words, cell in zip(limits.values(), row[2:], strict=True):
            allowed = effect is Effect.NOTHING or effect.word in words
            assert cell == ("deploys" if allowed else "ends"), row


RUN_BY_PEOPLE_AND_JOBS = [
    *(ROOT / name for name in ("Makefile", "README.md", ".ci/run")),
    *(ROOT / "ci").iterdir(),
    *(ROOT / "docs").rglob("*.md"),
    *FILES,
]


def test_nothing_that_is_installed_runs_a_script_of_its_own() -> None:
    """A package that is built from source, or has an install script, runs code before any check."""
    calls = []
    for file in RUN_BY_PEOPLE_AND_JOBS:
        for line in file.read_text().replace("\\\n", " ").splitlines():
            if re.search(r"\bnpm(-cli\.js)? (ci|install|i)\b", line):
                calls.append(line)
                assert "--ignore-scripts" in line, f"{file}: {line}"
            if re.search(r"\bpip3? install\b(?! NAME)", line):  # NAME: what a person adds
                calls.append(line)
                assert "--only-binary :all:" in line, f"{file}: {line}"
    assert len(calls) >= 4, "the Makefile's, at least"
