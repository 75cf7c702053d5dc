# Computes with the framework on every GPU that the instance type has. Nothing less is ready.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# Its own lines go to the log; what it found is JSON on standard output.
if ! "$env/bin/python" "$scripts/verify.py" gpu >"$state/verify.json.new"; then
  die "$(python3 "$scripts/lib/describe_result.py" "$state/verify.json.new")"
fi
mv "$state/verify.json.new" "$state/verify.json"
described=$(python3 "$scripts/lib/describe_result.py" "$state/verify.json")
fact "$described"
