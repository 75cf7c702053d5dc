# Puts the public key of the settings into authorized_keys, or takes it out again.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# Elsewhere the person has a way in already, and the folder is theirs.
of_a_stack || exit 0
mkdir -p "$home/.ssh"
python3 "$scripts/lib/authorize_key.py" "$home/.ssh/authorized_keys"
chmod 0700 "$home/.ssh"
chmod 0600 "$home/.ssh/authorized_keys"
run chown -R "$user:" "$home/.ssh"
