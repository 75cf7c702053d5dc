# Computes with the framework on every GPU of the instance type. Only then is the machine ready.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../gpu/nvidia_smi.sh"
. "$here/../../gpu/compute_device.sh"

# Late, because the role's permissions work by now. A failure is only a warning.
if of_a_stack; then
  bash "$here/wake-session-manager.sh" || log 'warning: the SSM agent was not checked'
fi

device=$(compute_device)
# verify.py prints its result as JSON to standard output, and its steps to standard error. The steps
# are logged after it has ended, because a process that hangs must not keep the log open.
status=0 journal=$(mktemp)
within "$verify_seconds" "$env/bin/python" -I "$here/verify.py" "$device" \
  >"$state/verify.json.new" 2>"$journal" || status=$?
cat "$journal" >&2
last=$(one_line "$(LC_ALL=C sed -n 's/^verify.py: //p' "$journal" | tail -n 1)")
rm -f "$journal"
if ((status == 124)); then
  die "verify.py $device did not end within $verify_seconds s: a GPU, or what connects the GPUs," \
    "hangs in: ${last:-its start}; $(hang_remedy)"
fi
if ((status != 0)); then
  reason=$(python3 -I "$here/describe_result.py" "$state/verify.json.new")
  die "command verify.py $device exited $status: $reason${last:+ (last step: $last)}"
fi
mv "$state/verify.json.new" "$state/verify.json"
described=$(python3 -I "$here/describe_result.py" "$state/verify.json")
fact "$described"
