"""The steps of acceptance.yml, as they stand: the account comes first, the evidence last.

Stubs stand for ``python -m acceptance`` and ``acceptance.proven`` in the checkout. They say what
they were given, and end as they are told: here it counts what reaches the program, and that in a
wrong account nothing does. The program itself runs in these steps in test_acceptance_role.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localaws import LocalAws
from tests.e2e.workflow_file import JobRun, Workflow, checkout

OTHER = "210987654321"
EVIDENCE = "2027-01-04-us-east-1-g4dn.xlarge.json"
PROGRAM = """
import json, os, pathlib, sys
called = pathlib.Path(os.environ["CALLED"])
calls = json.loads(called.read_text()) if called.exists() else []
called.write_text(json.dumps([*calls, sys.argv[1:]]))
sys.exit(int(os.environ.get("ENDS", "0")))
"""
PAGES = """
import pathlib
pages = sorted(path.stem for path in pathlib.Path("docs/proven").glob("*.json"))
pathlib.Path("docs/proven.md").write_text(" ".join(pages) + "\\n")
"""
GH = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$ASKED"
"""


def tree_with_stubs(folder: Path) -> Path:
    tree = checkout(folder)
    stubs = tree / "acceptance"
    stubs.mkdir(exist_ok=True)
    (stubs / "__init__.py").write_text("")
    (stubs / "__main__.py").write_text(PROGRAM)
    (stubs / "proven.py").write_text(PAGES)
    return tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tree_with_stubs(tmp_path_factory.mktemp("checkout"))


class Job:
    """Runs the job with the role; ``calls`` are the arguments of each start of the program."""

    def __init__(self, aws: LocalAws, tree: Path, folder: Path) -> None:
        self._aws, self._tree, self._folder = aws, tree, folder
        self._called = folder / "called.json"

    def runs(self, ends: int = 0, *, weekly: str | None = None, **inputs: str) -> JobRun | None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = self._aws.environment | {"PATH": path, "ENDS": str(ends)}
        environment |= {"CALLED": str(self._called), "PYTHONPATH": str(self._tree / "constructs")}
        return Workflow("acceptance", self._tree, environment, "run").run(
            self._folder,
            event="workflow_dispatch" if weekly is None else "schedule",
            inputs=inputs,
            variables={"ACCEPTANCE_ACCOUNT": weekly} if weekly else {},
        )

    @property
    def calls(self) -> list[list[str]]:
        return json.loads(self._called.read_text()) if self._called.exists() else []


@pytest.fixture
def job(bootstrapped: LocalAws, tree: Path, tmp_path: Path) -> Job:
    return Job(bootstrapped, tree, tmp_path)


def run(job: Job, ends: int = 0, *, weekly: str | None = None, **inputs: str) -> JobRun:
    found = job.runs(ends, weekly=weekly, **inputs)
    assert found is not None
    return found


def test_inputs_are_the_programs_options(bootstrapped: LocalAws, job: Job) -> None:
    done = run(job, account=bootstrapped.account, framework="pytorch", quick="true", limit="1.50")
    assert done.status == 0, done.log
    assert job.calls == [
        [
            *("--yes", "--type=g4dn.xlarge", "--framework=pytorch", "--limit=1.50", "--quick"),
            *("--evidence=build/acceptance/evidence", "--logs=build/acceptance/logs"),
        ]
    ]
    assert done.summary == (
        "Acceptance: all was shown, or left out for the reason in the evidence (exit status 0).\n"
    )


@pytest.mark.parametrize("weekly", [None, OTHER])
def test_fails_in_another_account_before_the_program_is_started(
    bootstrapped: LocalAws, job: Job, weekly: str | None
) -> None:
    done = run(job, weekly=weekly) if weekly else run(job, account=OTHER)
    assert done.status == 1
    assert done.step == "Run"
    assert f"ACCOUNT={OTHER}, but the role's session is of the account" in done.log
    assert bootstrapped.account in done.log
    assert job.calls == []


@pytest.mark.parametrize("account", ["", "12345", "$(touch PWNED)", "123456789012\n123456789012"])
def test_fails_without_the_id_of_an_account(job: Job, tree: Path, account: str) -> None:
    done = run(job, account=account)
    assert done.status == 1
    assert "is no account's id; type the 12 digits" in done.log
    assert job.calls == []
    assert not [*tree.rglob("PWNED")]


def test_no_input_becomes_another_option_or_a_command(
    bootstrapped: LocalAws, job: Job, tree: Path
) -> None:
    done = run(job, account=bootstrapped.account, type="--keep", limit="`touch PWNED`")
    assert done.status == 0, done.log
    assert job.calls[0][1:3] == ["--type=--keep", "--framework=mxnet"]
    assert job.calls[0][3] == "--limit=`touch PWNED`"
    assert not [*tree.rglob("PWNED")]


@pytest.mark.parametrize(
    ("status", "said"),
    [(1, "something failed"), (3, "no access"), (4, "no quota"), (130, "failed")],
)
def test_the_programs_exit_status_is_the_jobs(
    bootstrapped: LocalAws, job: Job, status: int, said: str
) -> None:
    done = run(job, status, account=bootstrapped.account)
    assert (done.status, done.step) == (status, "Run")
    assert said in done.summary
    assert "there is no workstation" in done.log or "no workstation" in done.log.lower()
    assert len(job.calls) == 1, "the program deletes by itself, only a cut-off run needs another"


def test_a_week_goes_by_unless_the_variable_names_an_account(
    bootstrapped: LocalAws, job: Job
) -> None:
    assert job.runs(weekly="") is None
    assert run(job, weekly=bootstrapped.account).status == 0
    assert len(job.calls) == 1
    assert not [word for word in job.calls[0] if word.startswith(("--type", "--limit", "--quick"))]


class Repository:
    """A clone whose origin is a bare repository, and a ``gh`` that notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.origin, self.clone = folder / "origin.git", tree_with_stubs(folder / "clone")
        self._asked, self._folder = folder / "asked", folder
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(GH)
        (folder / "bin" / "gh").chmod(0o755)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git(
            "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "-m", "a"
        )
        self.git("clone", "--quiet", "--bare", ".", str(self.origin))
        self.git("remote", "add", "origin", str(self.origin))
        self.main = self.git("rev-parse", "main")
        self.evidence = self.clone / "build" / "acceptance" / "evidence"
        self.evidence.mkdir(parents=True)

    def git(self, *words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=self.clone, capture_output=True, text=True, check=True
        ).stdout.strip()

    def proposes(self) -> JobRun:
        path = [str(self._folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        environment = {**os.environ, "PATH": os.pathsep.join(path), "ASKED": str(self._asked)}
        environment |= {"GITHUB_RUN_ID": "77", "HOME": str(self._folder)}
        runner = self._folder / "runner"
        runner.mkdir(exist_ok=True)
        done = Workflow("acceptance", self.clone, environment, "propose").run(runner)
        assert done is not None
        return done

    @property
    def branches(self) -> dict[str, str]:
        rows = self.git("ls-remote", "--heads", "origin").splitlines()
        return {row.split("refs/heads/")[1]: row.split()[0] for row in rows}

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "clone").mkdir()
    return Repository(tmp_path)


def test_evidence_and_its_pages_become_a_pull_request(repository: Repository) -> None:
    (repository.evidence / EVIDENCE).write_text("{}\n")
    done = repository.proposes()
    assert done.status == 0, done.log
    branch = "acceptance/2027-01-04-us-east-1-g4dn.xlarge"
    assert repository.branches.keys() == {"main", branch}
    assert repository.branches["main"] == repository.main
    changed = repository.git("diff", "--name-only", repository.main, repository.branches[branch])
    assert set(changed.split()) == {f"docs/proven/{EVIDENCE}", "docs/proven.md"}
    assert repository.asked[:6] == ["pr", "create", "--base", "main", "--head", branch]
    assert "the-job-s-token" not in done.log


def test_another_run_of_the_day_changes_nothing_of_the_first(repository: Repository) -> None:
    (repository.evidence / EVIDENCE).write_text("{}\n")
    assert repository.proposes().status == 0
    first = repository.branches
    repository.git("switch", "--quiet", "main")
    assert repository.proposes().status == 0
    assert first.items() <= repository.branches.items()
    (added,) = repository.branches.keys() - first.keys()
    assert added == "acceptance/2027-01-04-us-east-1-g4dn.xlarge-2"


def _nothing(folder: Path) -> None:
    pass


def _a_link(folder: Path) -> None:
    (folder / EVIDENCE).symlink_to("/etc/passwd")


def _two(folder: Path) -> None:
    (folder / EVIDENCE).write_text("{}")
    (folder / ".hidden").write_text("")


def _a_workflow(folder: Path) -> None:
    (folder / ".github").mkdir()


def _a_command(folder: Path) -> None:
    (folder / "2027-01-04-x-$(touch PWNED).y.json").write_text("{}")


@pytest.mark.parametrize("plant", [_nothing, _a_link, _two, _a_workflow, _a_command])
def test_fails_when_the_artifact_is_something_else(
    repository: Repository, plant: Callable[[Path], None]
) -> None:
    plant(repository.evidence)
    done = repository.proposes()
    assert done.status == 1
    assert "evidence" in done.log
    assert repository.branches == {"main": repository.main}
    assert repository.asked == []
