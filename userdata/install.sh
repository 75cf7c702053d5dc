#!/usr/bin/env bash
# Makes this Ubuntu machine the same workstation as the stack's, in any cloud or under a desk.
#
# Usage: sudo userdata/install.sh --framework mxnet    (--help lists all options)
#
# The set-up runs as a systemd unit: it survives a lost connection, and continues after a reboot.
# Exit status: 0 ready, 1 refused or failed, 2 wrong usage, 3 needs a reboot.
set -euo pipefail
# All users need access to the installed files, whatever the umask of the caller is.
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=${GPUSTATION_ROOT:-}
opt="$root/opt/gpustation"
state="$root/var/lib/gpustation"
unit=gpustation.service

refuse() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# place_scripts: copy the scripts to a folder with their hash in its name, and link to it.
place_scripts() {
  local digest name
  digest=$(cd "$here" && find . -type f ! -path './bootstrap/*' ! -name '*.pyc' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
  name="scripts-${digest:0:12}"
  if [[ ! -d "$opt/$name" ]]; then
    rm -rf "$opt/.draft"
    mkdir -p "$opt/.draft"
    cp -a "$here/." "$opt/.draft"
    rm -rf "$opt/.draft/bootstrap"
    chown -R root: "$opt/.draft"
    chmod -R u=rwX,go=rX "$opt/.draft"
    sync
    mv "$opt/.draft" "$opt/$name"
  fi
  ln -sfn "$name" "$opt/scripts.new"
  mv -T "$opt/scripts.new" "$opt/scripts"
}

# place_settings JSON: write them for root alone, because the proxy may have a password.
place_settings() {
  mkdir -p "$state"
  (umask 077 && printf '%s\n' "$1" >"$state/settings.json.new")
  mv "$state/settings.json.new" "$state/settings.json"
}

place_unit() {
  mkdir -p "$root/etc/systemd/system"
  sed "s|@OPT@|$opt|g" "$here/install/$unit" >"$root/etc/systemd/system/$unit"
  systemctl daemon-reload
  systemctl enable --quiet "$unit"
}

# follow SINCE: show the unit's log from that second of the epoch on, until the unit has ended.
follow() {
  local shown begun=$1
  journalctl --quiet --follow --output=cat --unit="$unit" --since="@$begun" &
  local reader=$!
  trap 'kill "$reader" 2>/dev/null; echo "install.sh: the set-up continues: journalctl -fu $unit"; exit 130' INT
  while true; do
    sleep 1
    shown=$(systemctl show --property=ActiveState,SubState --value "$unit" | paste -sd ' ')
    case $shown in
      'active exited' | 'failed failed' | 'inactive dead') break ;;
    esac
  done
  sleep 0.5
  kill "$reader" 2>/dev/null || true
  wait "$reader" 2>/dev/null || true
  trap - INT
}

# describe_step STEP: print what the set-up recorded of a step.
describe_step() {
  python3 -I "$here/runner/describe_step.py" "$1"
}

# conclude SETTINGS: print the result.
conclude() {
  local port reason
  port=$(sed -n 's/.*"jupyter_port": \([0-9]*\).*/\1/p' <<<"$1")
  if [[ -e "$state/failure.json" ]]; then
    reason=$(python3 -I -c 'import json, sys; print(json.load(open(sys.argv[1]))["reason"])' \
      "$state/failure.json" 2>/dev/null) || reason='the set-up failed'
    echo "install.sh: $reason" >&2
    echo "install.sh: all of it: journalctl -u $unit, and /var/log/gpustation/" >&2
    exit 1
  fi
  # run.sh removes it at each start.
  if [[ -e "$state/reboot-reason" ]]; then
    echo "install.sh: $(<"$state/reboot-reason"): run sudo reboot; the set-up continues by itself"
    exit 3
  fi
  systemctl is-active --quiet "$unit" ||
    refuse "the set-up stopped without a report; see journalctl -u $unit"
  if [[ $1 == *'"for_image": true'* ]]; then
    echo "install.sh: all but the GPU's verification is done: $(describe_step environment)"
    return
  fi
  echo "install.sh: $(describe_step gpu)"
  # cat keeps the tunnel open until Ctrl-C.
  echo "install.sh: Jupyter, from your own computer, until Ctrl-C:" \
    "ssh -L 8889:localhost:$port THIS-MACHINE 'gpustation-jupyter-url; cat'"
}

main() {
  local settings begun word
  # --help works without root.
  for word in "$@"; do
    if [[ $word == -h || $word == --help ]]; then
      python3 -I "$here/install/standalone.py" "$@"
      exit
    fi
  done
  ((EUID == 0)) || refuse "run it as root: sudo $0 $*"
  for word in apt-get systemctl python3; do
    command -v "$word" >/dev/null || refuse "there is no $word; this is for Ubuntu 22.04 and 24.04"
  done
  settings=$(python3 -I "$here/install/standalone.py" "$@")
  # The settings first, because older scripts ignore settings that they do not know.
  place_settings "$settings"
  place_scripts
  place_unit
  begun=$(date +%s)
  # A set-up that is running is not interrupted; it runs again afterwards with the new settings.
  if [[ $(systemctl show --property=ActiveState --value "$unit") == activating ]]; then
    echo 'install.sh: a set-up is already running; this is its log'
    follow "$begun"
    begun=$(date +%s)
  fi
  systemctl restart --no-block "$unit"
  sleep 0.5
  follow "$begun"
  conclude "$settings"
}

main "$@"
