"""Runs the `run` steps of a GitHub workflow as they stand in its file, as a runner would."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.synthesis import ROOT

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_TOKEN = re.compile(r"\s*(?:(?P<text>'[^']*')|(?P<op>\|\||==)|(?P<name>[a-z_]+\.\w+)|(?P<num>\d+))")
STEP_SECONDS = 600


class WorkflowError(Exception):
    """The file says something that this does not know."""


@dataclasses.dataclass(frozen=True)
class JobRun:
    """What a job left behind.

    Attributes:
        status: Exit status of the last step that ran.
        step: Its name or command.
        log: What all steps printed.
        summary: What they wrote for the job's page.
    """

    status: int
    step: str
    log: str
    summary: str


@dataclasses.dataclass(frozen=True)
class Workflow:
    """A job of a workflow.

    Args:
        name: The file's name in ``.github/workflows``, without the ending.
        checkout: What the checkout gives.
        environment: Of the runner, with the credentials that the role's action would set.
        job: Its name. Default: the workflow's only one.
    """

    name: str
    checkout: Path
    environment: Mapping[str, str]
    job: str = ""

    def run(
        self,
        folder: Path,
        *,
        event: str = "workflow_dispatch",
        inputs: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> JobRun | None:
        """Run the job; None if its condition keeps it from running.

        Args:
            folder: Where the runner's own files go.
            event: What started it.
            inputs: What a person typed. Default: nothing.
            variables: The repository's variables.
        """
        told = self._inputs(event, inputs or {})
        contexts = {
            "inputs": told,
            "vars": dict(variables or {}),
            "github": {
                "event_name": event,
                "run_id": "1",
                "ref": "refs/heads/main",
                "token": "the-job-s-token",
            },
        }
        jobs = self._file["jobs"]
        (job,) = [jobs[self.job]] if self.job else jobs.values()
        if "if" in job and not evaluate(job["if"], contexts):
            return None
        files = {name: folder / name for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
        files |= {name: folder / name for name in ("GITHUB_ENV", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        log: list[str] = []
        status, shown = 0, ""
        for step in job["steps"]:
            if "uses" in step:
                continue  # the checkout is here, the role is the environment's
            if not _is_due(step, bool(status)):
                continue
            failed = self._step(step, folder, contexts, files, log)
            if not status:
                status, shown = failed, step.get("name", step["run"])
        assert not files["GITHUB_ENV"].read_text() + files["GITHUB_PATH"].read_text()
        return JobRun(status, shown, "".join(log), files["GITHUB_STEP_SUMMARY"].read_text())

    @property
    def _file(self) -> dict[Any, Any]:
        path = self.checkout / ".github" / "workflows" / f"{self.name}.yml"
        found: dict[Any, Any] = yaml.safe_load(path.read_text())
        return found

    def _inputs(self, event: str, given: Mapping[str, str]) -> dict[str, str]:
        """As GitHub takes them: only on a dispatch, with defaults, choices checked."""
        if event != "workflow_dispatch":
            return {}
        # YAML 1.1 reads the key `on` as true
        declared = self._file[True]["workflow_dispatch"]["inputs"]
        if unknown := set(given) - set(declared):
            raise WorkflowError(f"no such input: {unknown}")
        told = {
            name: given.get(name, _text(about.get("default", "")))
            for name, about in declared.items()
        }
        for name, about in declared.items():
            if "options" in about and told[name] not in about["options"]:
                raise WorkflowError(f"{name}={told[name]} is not offered")
            if about.get("required") and not told[name]:
                raise WorkflowError(f"{name} is required")
        return told

    def _step(
        self,
        step: Mapping[str, Any],
        folder: Path,
        contexts: Mapping[str, Mapping[str, str]],
        files: Mapping[str, Path],
        log: list[str],
    ) -> int:
        if unknown := set(step) - {"name", "run", "env", "if"}:
            raise WorkflowError(f"a step has {unknown}")
        if _EXPRESSION.search(step["run"]):
            raise WorkflowError(f"an expression is pasted into a command: {step['run']}")
        script = folder / "step.sh"
        script.write_text(step["run"])
        variables = {name: fill(str(text), contexts) for name, text in step.get("env", {}).items()}
        runner = {"CI": "true", "GITHUB_ACTIONS": "true"} | {n: str(f) for n, f in files.items()}
        done = subprocess.run(
            ["bash", "-e", str(script)],  # the default of a step without `shell`
            cwd=self.checkout,
            env={**self.environment, **runner, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )
        log.append(done.stdout)
        print(f"$ {step['run']}\n{done.stdout}\nexit status {done.returncode}")
        return done.returncode


def _text(default: object) -> str:
    """A default as an expression gives it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


def _is_due(step: Mapping[str, Any], failed: bool) -> bool:
    """Whether a step runs after what came before it; no run is cancelled here."""
    condition = step.get("if", "success()")
    known = {"success()": not failed, "cancelled()": False, "failure() || cancelled()": failed}
    if condition not in known:
        raise WorkflowError(f"a step's condition is {condition}")
    return known[condition]


def checkout(folder: Path) -> Path:
    """A copy of this tree as it is, with what `make setup` made of it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        source, target = ROOT / name, folder / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
        target.chmod(source.stat().st_mode)
        os.utime(target, (0, 0))  # so that nothing that is installed looks outdated
    for name in (".venv", "node_modules"):
        (folder / name).symlink_to((ROOT / name).resolve())
    return folder


def fill(text: str, contexts: Mapping[str, Mapping[str, str]]) -> str:
    """The text with the value of each expression in its place."""
    return _EXPRESSION.sub(lambda found: evaluate(found[1], contexts), text)


def evaluate(expression: str, contexts: Mapping[str, Mapping[str, str]]) -> str:
    """Value of an expression of names, texts, numbers, `==` and `||`; empty text is false.

    Raises:
        WorkflowError: There is anything else in it, or a name that does not exist.
    """
    tokens, rest = [], expression.strip()
    while rest:
        found = _TOKEN.match(rest)
        if found is None:
            raise WorkflowError(f"{expression}: what is {rest!r}?")
        tokens.append(found)
        rest = rest[found.end() :].strip()
    alternatives: list[list[re.Match[str]]] = [[]]
    for token in tokens:
        if token["op"] == "||":
            alternatives.append([])
        else:
            alternatives[-1].append(token)
    values = [_comparison(expression, part, contexts) for part in alternatives]
    return next((value for value in values if value), values[-1])


def _comparison(
    expression: str, tokens: list[re.Match[str]], contexts: Mapping[str, Mapping[str, str]]
) -> str:
    if len(tokens) == 1:
        return _value(tokens[0], contexts)
    if len(tokens) != 3 or tokens[1]["op"] != "==":
        raise WorkflowError(f"{expression}: only == and || are known")
    # GitHub compares texts without regard to case
    same = _value(tokens[0], contexts).lower() == _value(tokens[2], contexts).lower()
    return "true" if same else ""


def _value(token: re.Match[str], contexts: Mapping[str, Mapping[str, str]]) -> str:
    if token["text"] or token["num"]:
        return (token["text"] or token["num"]).strip("'")
    if token["name"] is None:
        raise WorkflowError(f"a value is missing at {token[0]!r}")
    context, name = token["name"].split(".")
    if context in ("vars", "inputs"):
        return contexts[context].get(name, "")  # on a push there are no inputs
    if name not in contexts.get(context, {}):
        raise WorkflowError(f"no such name: {token['name']}")
    return contexts[context][name]
