# Computes with the framework on every GPU that the instance type has. Nothing less is ready.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# Seconds: a sum over GPUs that cannot reach each other never ends. Importing the framework from the
# fresh disk of an image takes minutes (estimate).
verify_seconds=${GPUSTATION_VERIFY_SECONDS:-900}

# Here, late: by now the role's permissions work. It is no reason to fail.
if of_a_stack; then
  bash "$scripts/lib/wake-session-manager.sh" || log 'warning: the SSM agent was not looked at'
fi

device=$(compute_device)
# Its own lines go to the log; what it found is JSON on standard output.
status=0
timeout --kill-after=10 "$verify_seconds" \
  "$env/bin/python" -I "$scripts/verify.py" "$device" >"$state/verify.json.new" || status=$?
if ((status == 124 || status == 137)); then
  die "verify.py $device did not end within $verify_seconds s: a GPU, or what connects the GPUs, hangs"
fi
if ((status != 0)); then
  reason=$(python3 -I "$scripts/lib/describe_result.py" "$state/verify.json.new")
  die "command verify.py $device exited $status: $reason"
fi
mv "$state/verify.json.new" "$state/verify.json"
described=$(python3 -I "$scripts/lib/describe_result.py" "$state/verify.json")
fact "$described"
