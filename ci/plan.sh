#!/usr/bin/env bash
# Says what a deploy would do, and ends the job with that exit status where it may not do it.
# MAY is the most that may happen to the machine: in-place, stops or replaced. Empty, as on a push:
# in-place, and no machine is made where there is none.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

case ${MAY:-} in
  '') may=(in-place) ;;
  in-place) may=(in-place new) ;;
  stops) may=(in-place new stops) ;;
  replaced) may=(in-place new stops replaced) ;;
  *) fail "MAY=${MAY@Q}: no such limit; take in-place, stops or replaced" ;;
esac

cdk synth --quiet --output "$assembly" "${context[@]}"
status=0
plan=$(gpustation plan --app "$assembly" "${may[@]/#/--allow=}") || status=$?
printf '%s\n' "$plan"
printf '~~~text\n%s\n~~~\n' "$plan" | summary
if ((status)); then
  printf 'Not deployed: exit status %d (docs/ci.md tells what it means).\n' "$status" | summary
fi
exit "$status"
