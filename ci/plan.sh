#!/usr/bin/env bash
# Prints what a deploy would do; if that is not allowed, ends the job with the plan's exit status.
# MAY is the most that may happen to the machine: in-place, stops or replaced. If it is empty, as on
# a push, only changes in place are allowed, and no new machine.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

case ${MAY:-} in
  '') may=(in-place) ;;
  in-place) may=(in-place new) ;;
  stops) may=(in-place new stops halted) ;;
  replaced) may=(in-place new stops halted replaced) ;;
  *) fail "MAY=${MAY@Q}: no such limit; take in-place, stops or replaced" ;;
esac

cdk synth --quiet --output "$assembly" "${context[@]}"
status=0
plan=$(gpustation plan --app "$assembly" "${may[@]/#/--allow=}") || status=$?
printf '%s\n' "$plan"
printf '~~~text\n%s\n~~~\n' "$plan" | summary
if ((status)); then
  printf 'Not deployed: exit status %d (explained in docs/ci.md).\n' "$status" | summary
fi
exit "$status"
