# Puts the public key of the settings into authorized_keys, or takes it out again.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

mkdir -p "$home/.ssh"
python3 "$scripts/lib/authorize_key.py" "$home/.ssh/authorized_keys"
chmod 0700 "$home/.ssh"
chmod 0600 "$home/.ssh/authorized_keys"
run chown -R "$user:" "$home/.ssh"
