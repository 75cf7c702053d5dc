# Installs the unit that closes the instance metadata service for all users but root.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

# Without a stack, the address may belong to another cloud, whose users may need it.
of_a_stack || exit 0
unit=gpustation-metadata.service
target="$root/etc/systemd/system/$unit"
if ! cmp -s "$here/$unit" "$target"; then
  mkdir -p "${target%/*}"
  cp "$here/$unit" "$target"
  run systemctl enable "$unit"
fi
if ! attempt systemctl restart "$unit"; then
  reason=$(journalctl --quiet --output=cat --lines=3 --unit="$unit" | paste -sd ' ')
  warn "every user can request the role's credentials from the instance metadata service: $reason"
fi
