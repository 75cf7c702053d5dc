# Installs the tools of btrfs, which Ubuntu's images have and others may lack. A program of its own,
# because a failure must end it and not the phase.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"

apt_update
apt_install btrfs-progs
