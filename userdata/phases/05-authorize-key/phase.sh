# Puts the public key of the settings into authorized_keys, or takes it out again.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../home/as_owner.sh"

# Without a stack the person has a way in already.
of_a_stack || exit 0
key=$(setting public_key)
if as_owner "$home" python3 -I -c "$(<"$scripts/home/authorize_key.py")" "$key"; then
  [[ -z $owner_said ]] || log "$owner_said"
else
  warn "authorized_keys of $user is not up to date: $owner_said"
fi
