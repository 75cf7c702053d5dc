# Installs the service that watches for EC2's notice to interrupt this spot machine.
# Early, because EC2 may interrupt it during its set-up as well.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

unit=gpustation-interruption.service
target="$root/etc/systemd/system/$unit"
hooks="$root/etc/gpustation/on-interruption.d"

# remove: leave no unit, message or state of a machine that was a spot machine before; its hooks are
# the person's.
remove() {
  if [[ -e $target ]]; then
    run systemctl disable --quiet --now "$unit"
    rm -f "$target"
  fi
  rm -f "$root"/run/gpustation/interruption{,-look}.json "$root/run/motd.d/gpustation-interruption"
  rm -f "$state/interruption.json"
  rmdir "$hooks" 2>/dev/null || true
}

# install_unit: joined by &&, because bash ignores set -e in a function whose status is tested.
install_unit() {
  mkdir -p "${target%/*}" "$hooks" &&
    sed -e "s|@OPT@|$opt|g" -e "s|@ROOT@|$root|g" "$here/$unit" >"$target" &&
    run systemctl enable --quiet "$unit" && # also makes systemd reload its units
    run systemctl restart "$unit"
}

# The setting may also say that EC2's answer decides whether it is one; without a spot machine the
# watch finds nothing.
if ! of_a_stack || [[ $(setting spot) == false ]]; then
  remove
elif ! install_unit; then
  warn "nothing runs the hooks when EC2 interrupts this spot machine: $unit could not be started"
fi
