# Brings the unit that closes the instance metadata service for everybody but root.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

# Elsewhere the address belongs to another cloud, whose users may need it.
of_a_stack || exit 0
unit=gpustation-metadata.service
target="$root/etc/systemd/system/$unit"
if ! cmp -s "$here/$unit" "$target"; then
  mkdir -p "${target%/*}"
  cp "$here/$unit" "$target"
  run systemctl enable "$unit"
fi
if ! attempt systemctl restart "$unit"; then
  why=$(journalctl --quiet --output=cat --lines=3 --unit="$unit" | paste -sd ' ')
  warn "every user can ask the instance metadata service for the role's credentials: $why"
fi
