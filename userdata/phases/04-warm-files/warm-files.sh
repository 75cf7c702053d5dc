#!/usr/bin/env bash
# Reads once what computing loads (verify.py listed it), many files at a time.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

readers=16
begun=$SECONDS
# What has gone since then is not needed.
xargs --arg-file="$state/loaded-files" --delimiter='\n' -P "$readers" -n 8 cat >/dev/null 2>&1 || true
log "the files that computing loads were read once, in $((SECONDS - begun)) s"
