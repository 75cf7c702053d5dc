#!/usr/bin/env bash
# Reads the environment once, many files at a time: first Python's own, then the large libraries.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readers=16
begun=$SECONDS
# -size -1024k is less than 1 MiB: find rounds up to whole KiB
find "$env" -type f -size -1024k -print0 | xargs -0 -r -P "$readers" -n 32 cat >/dev/null
find "$env" -type f -size +1023k -print0 | xargs -0 -r -P "$readers" -n 1 cat >/dev/null
log "the files of the environment were read once, in $((SECONDS - begun)) s"
