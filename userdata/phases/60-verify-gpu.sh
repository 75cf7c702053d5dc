# Computes with the framework on every GPU that the instance type has. Nothing less is ready.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

device=$(compute_device)
# Its own lines go to the log; what it found is JSON on standard output.
status=0
"$env/bin/python" -I "$scripts/verify.py" "$device" >"$state/verify.json.new" || status=$?
if ((status != 0)); then
  reason=$(python3 -I "$scripts/lib/describe_result.py" "$state/verify.json.new")
  die "command verify.py $device exited $status: $reason"
fi
mv "$state/verify.json.new" "$state/verify.json"
described=$(python3 -I "$scripts/lib/describe_result.py" "$state/verify.json")
fact "$described"
