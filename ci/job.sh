# Sourced first by the scripts of a CI job: tools on PATH, and the job's settings as `context`.
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
export PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"
export CDK_DISABLE_CLI_TELEMETRY=true

# What is judged is what is deployed: one synth for both.
# shellcheck disable=SC2034 # the scripts that source this use it
assembly=cdk.out

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

# Markdown for the page of a GitHub job; elsewhere it is part of the log.
summary() {
  cat >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
}

# One setting is SETTING_<NAME>; others are words name=value in SETTINGS. Empty: as cdk.json says.
# Nothing of it is ever part of a command's text, and the settings' own rules judge the values.
context=()
for variable in "${!SETTING_@}"; do
  # In a Turkish locale bash makes another letter of I
  name=$(LC_ALL=C && name=${variable#SETTING_} && printf %s "${name,,}")
  [[ -z ${!variable} ]] || context+=("--context=$name=${!variable}")
done
read -r -d '' -a words <<<"${SETTINGS:-}" || true
for word in "${words[@]}"; do
  [[ $word =~ ^[a-z_]+= ]] || fail "SETTINGS holds ${word@Q}; write name=value, separated by blanks"
  context+=("--context=$word")
done
