# Writes the machine's report, for the person's command: the public SSH host keys, so that nobody
# has to trust an unknown key at the first login.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

# Without a stack there is no parameter; a stack of an earlier version has none either.
if ! of_a_stack || [[ -z $(setting report) ]]; then
  exit 0
fi
# Not attempt: its output must not name the keys as a failed command.
if output=$(python3 -I "$here/write_report.py" "$(setting report)" 2>&1); then
  log "$output"
else
  warn "the machine's report was not written, so its SSH host keys are unknown to" \
    "gpustation ssh: $(tail -n 1 <<<"$output")"
fi
