# Adds the public key of the settings to authorized_keys, or removes it.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../home/as_owner.sh"

# Without a stack, the person already has access.
of_a_stack || exit 0
key=$(setting public_key)
if as_owner "$home" python3 -I -c "$(<"$scripts/home/authorize_key.py")" "$key"; then
  [[ -z $owner_output ]] || log "$owner_output"
else
  warn "authorized_keys of $user is not up to date: $owner_output"
fi
