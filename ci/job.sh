# Sourced first by the scripts of a CI job: sets PATH, and `context` from the job's settings.
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || exit
export PATH="$PWD/.venv/bin:$PWD/node_modules/.bin:$PATH"
export CDK_DISABLE_CLI_TELEMETRY=true

# The cloud assembly: plan.sh synthesizes and checks it, deploy.sh deploys the same one.
# shellcheck disable=SC2034 # the scripts that source this use it
assembly=cdk.out

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

# summary: writes Markdown from standard input to the page of a GitHub job, elsewhere to the log.
summary() {
  cat >>"${GITHUB_STEP_SUMMARY:-/dev/stdout}"
}

# A setting is a variable SETTING_<NAME>, or a word name=value in SETTINGS. An empty SETTING_<NAME>
# means the value of cdk.json. Values are only passed as arguments, never part of a command's text;
# the rules of the settings validate them.
context=()
for variable in "${!SETTING_@}"; do
  # In a Turkish locale bash would lower I to a dotless i
  name=$(LC_ALL=C && name=${variable#SETTING_} && printf %s "${name,,}")
  [[ -z ${!variable} ]] || context+=("--context=$name=${!variable}")
done
read -r -d '' -a words <<<"${SETTINGS:-}" || true
for word in "${words[@]}"; do
  [[ $word =~ ^[a-z_]+= ]] || fail "SETTINGS holds ${word@Q}; write name=value, separated by blanks"
  context+=("--context=$word")
done
