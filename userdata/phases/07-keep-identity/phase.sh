# Remembers whose disk this is, and brings the unit that notices when it has become another
# machine's: one that was started from an image of this one.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"

unit=gpustation-identity.service
known="$state/instance-id"
target="$root/etc/systemd/system/$unit"
# Without cloud-init nobody tells one machine from another, and nobody makes images.
if [[ ! -s $instance_file ]]; then
  exit 0
fi
if [[ -e $known ]] && ! cmp -s "$instance_file" "$known"; then
  die "this disk is a copy of that of instance $(<"$known"), and what was its own is still there:" \
    "see journalctl -u $unit"
fi
if ! cmp -s "$here/$unit" "$target"; then
  mkdir -p "${target%/*}"
  cp "$here/$unit" "$target"
  # It is for the next boot, so systemd need not read it now.
  run systemctl enable --no-reload "$unit"
fi
cp "$instance_file" "$known"
