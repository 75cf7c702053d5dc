# Installs the timer that stops this machine when nothing moves on it, or at its daily stop, and the
# one that watches it.
# Early, so that a machine whose set-up fails does not run for ever.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

idle="$scripts/idle"
units="$root/etc/systemd/system"
timers=(gpustation-idle.timer gpustation-idle-guard.timer)

# remove: leave no unit, message or state of a machine that stopped itself before.
remove() {
  local timer
  if [[ -e "$units/${timers[0]}" ]]; then
    run systemctl disable --quiet --now "${timers[@]}"
  fi
  for timer in "${timers[@]}"; do
    rm -f "$units/$timer" "$units/${timer%.timer}.service"
  done
  rm -rf "$root/run/gpustation/idle"
  rm -f "$root"/run/motd.d/gpustation-{idle,guard}
}

install_units() {
  local timer unit times pause limit fresh guard lead
  times=$(python3 -I "$idle" times)
  read -r pause limit fresh guard lead <<<"$times"
  mkdir -p "$units"
  for timer in "${timers[@]}"; do
    for unit in "$timer" "${timer%.timer}.service"; do
      sed -e "s|@OPT@|$opt|g" -e "s|@PAUSE@|$pause|g" -e "s|@LIMIT@|$limit|g" \
        -e "s|@FRESH@|$fresh|g" -e "s|@GUARD@|$guard|g" -e "s|@LEAD@|$lead|g" \
        "$idle/$unit" >"$units/$unit"
    done
  done
  # enable also makes systemd reload its units.
  run systemctl enable --quiet "${timers[@]}"
  run systemctl restart "${timers[@]}"
}

mkdir -p "$root/usr/local/bin"
sed -e "s|@OPT@|$opt|g" "$idle/gpustation" >"$root/usr/local/bin/gpustation"
chmod 0755 "$root/usr/local/bin/gpustation"
if [[ $(setting idle_stop_minutes) == 0 && -z $(setting stop_at) ]]; then
  remove
elif ! install_units; then
  warn 'this machine does not stop itself: its timers could not be started'
fi
