#!/usr/bin/env bash
# Watches the watcher: warns if it has not decided for a while, and after hours stops the machine.
#
# Usage: guard.sh FRESH LIMIT LEAD
#
# FRESH: seconds for which a verdict counts. LIMIT: seconds without a verdict after which the machine
# stops, unless somebody keeps it awake; 0: it does not, as its idle stop is off. LEAD: seconds
# between the warning and the stop.
# Small and apart from the watcher, so that what breaks the one does not break the other.
set -uo pipefail
fresh=$1 limit=$2 lead=$3
root=${GPUSTATION_ROOT:-}
noted="$root/run/gpustation/idle"
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
message="$root/run/motd.d/gpustation-guard"

# number FILE: print the number in a file; 0 if there is none.
number() {
  local text=
  read -r text 2>/dev/null <"$1" || true
  [[ $text =~ ^[0-9]{1,12}$ ]] || text=0
  printf '%s\n' "$text"
}

# tell TEXT: tell people, and the report, in which gpustation status reads it.
tell() {
  echo "$1"
  mkdir -p "${message%/*}"
  printf 'gpustation: %s\n' "$1" >"$message"
  wall "gpustation: $1" || true
  report
}

report() {
  local settings="$root/var/lib/gpustation/settings.json" parameter
  parameter=$(sed -n 's/.*"report": "\([^"]*\)".*/\1/p' "$settings")
  if [[ -n $parameter && -e "$root/etc/gpustation/bootstrap.json" ]]; then
    timeout 20 python3 -I "$scripts/phases/08-write-report/write_report.py" "$parameter" 5 || true
  fi
}

# loss: print what a stop would lose, as the end of a sentence; nothing if there is no /scratch.
loss() {
  local blocks free bytes used
  [[ -e "$root/run/gpustation/scratch" ]] || return 0
  read -r blocks free bytes < <(stat --file-system --format='%b %f %S' "$root/scratch") || return 0
  used=$((((blocks - free) * bytes) >> 30))
  ((used == 0)) || printf '; %s GiB on /scratch will be lost' "$used"
}

mkdir -p "$noted"
read -r uptime _ <"$root/proc/uptime"
now=${uptime%.*}
if ((now - $(number "$noted/decided") <= fresh)); then
  if [[ -e "$noted/failing" ]]; then
    rm -f "$noted/failing" "$noted/failing-announced" "$message"
    echo 'the idle stop works again'
    report
  fi
  exit 0
fi
if [[ ! -e "$noted/failing" ]]; then
  printf '%s\n' "$now" >"$noted/failing"
  if ((limit == 0)); then
    tell 'this machine does not warn before its daily stop (systemctl status gpustation-idle)'
    exit 0
  fi
  tell "nothing decides whether this machine is idle (systemctl status gpustation-idle); it stops in \
$((limit / 3600)) h unless that works again, or somebody runs: gpustation keep-awake 24h"
fi
((limit)) || exit 0
since=$(number "$noted/failing")
if ((now - since < limit)) || python3 -I "$scripts/idle" is-kept-awake; then
  rm -f "$noted/failing-announced"
  exit 0
fi
reason="nothing decided for $(((now - since) / 60)) min whether it was idle"
if [[ ! -e "$noted/failing-announced" ]]; then
  printf '%s\n' "$now" >"$noted/failing-announced"
  tell "this machine stops in $((lead / 60)) min: $reason$(loss); this delays it: \
gpustation keep-awake 2h"
  exit 0
fi
if ((now - $(number "$noted/failing-announced") >= lead)); then
  stop="$root/var/lib/gpustation/last-stop.json"
  printf '{"at": %s, "reason": "%s"}\n' "$(date +%s)" "$reason" >"$stop.new" &&
    mv "$stop.new" "$stop"
  sync
  report
  systemctl poweroff
fi
