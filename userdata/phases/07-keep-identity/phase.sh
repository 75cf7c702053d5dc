# Records which instance this disk belongs to, and installs the unit that detects at boot that the
# disk was copied to another machine, one that was started from an image of this machine.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"

unit=gpustation-identity.service
known="$state/instance-id"
target="$root/etc/systemd/system/$unit"
# Without cloud-init there is no instance id, and no image of the machine is made.
if [[ ! -s $instance_file ]]; then
  exit 0
fi
if [[ -e $known ]] && ! cmp -s "$instance_file" "$known"; then
  die "this disk is a copy of that of instance $(<"$known"), whose identity was not removed:" \
    "see journalctl -u $unit"
fi
if ! cmp -s "$here/$unit" "$target"; then
  mkdir -p "${target%/*}"
  cp "$here/$unit" "$target"
  # --no-reload, because the unit has no use before the next boot.
  run systemctl enable --no-reload "$unit"
fi
cp "$instance_file" "$known"
