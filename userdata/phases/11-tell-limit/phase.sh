# Shows at login what the spend limit said when the machine was started.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

message="$root/run/motd.d/gpustation-limit"
rm -f "$message"
if ! of_a_stack || [[ $(setting limited) != true ]]; then
  exit 0
fi
# Not attempt: the limit acts outside of this machine, so nothing is lost without the message.
if text=$(python3 -I "$here/read_notice.py" "$(setting stack)" 2>&1); then
  log "spend limit: $(tail -n 1 <<<"$text")"
  mkdir -p "$root/run/motd.d"
  printf 'gpustation: %s\n' "$(tail -n 1 <<<"$text")" >"$message"
else
  warn "what the spend limit says could not be read: $(tail -n 1 <<<"$text")"
fi
