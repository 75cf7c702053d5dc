#!/usr/bin/env bash
# Reads the files that verify.py listed as loaded, several at a time.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

readers=16
begun=$SECONDS
# Listed files that no longer exist are not needed.
xargs --arg-file="$state/loaded-files" --delimiter='\n' -P "$readers" -n 8 cat >/dev/null 2>&1 || true
log "the files of the framework were read in advance, in $((SECONDS - begun)) s"
