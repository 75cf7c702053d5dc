#!/usr/bin/env bash
# Runs the phases that make this machine a GPU workstation, and reports them to CloudFormation.
#
# Runs at every boot. A phase that finished with the current settings is skipped; a phase that was
# interrupted runs again, so each must be safe to repeat.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/runner/record.sh"
. "$(dirname "${BASH_SOURCE[0]}")/runner/settings.sh"

logs="$root/var/log/gpustation"
record="$state/failed-command"
tries_file="$root/run/gpustation/tries"

# Each phase: its name, the step that it reports to, its folder, its revision, and the settings that
# it depends on. New scripts alone repeat no phase; a higher revision repeats it on existing
# machines. Raise it for phases that take seconds, never for driver or environment.
phase_rows=(
  'warm          driver       04-warm-files         1  every-boot'
  'access        driver       05-authorize-key      1  every-boot'
  'identity      driver       07-keep-identity      1  every-boot'
  'report        driver       08-write-report       1  every-boot'
  'idle          driver       09-watch-idle         1  every-boot'
  'limit         driver       11-tell-limit         1  every-boot'
  'system        driver       10-prepare-system     3  framework'
  'metadata      driver       12-limit-metadata     1  every-boot'
  'scratch       driver       15-mount-scratch      1  every-boot'
  'driver        driver       20-install-driver     1  machine driver_kind driver_branch fabric_manager'
  'driver-check  driver       25-check-driver       1  every-boot'
  'environment   environment  30-build-environment  1  framework cuda_toolkit'
  'notebooks     environment  40-fetch-notebooks    1  framework notebooks'
  'person        environment  45-give-environment   1  every-boot'
  'jupyter       environment  50-start-jupyter      4  framework machine jupyter_port proxy no_proxy package_index'
  'verify        gpu          60-verify-gpu         1  framework machine instance_type gpus'
  'jupyter-check gpu          70-check-jupyter      2  framework machine jupyter_port'
)

# forward_earlier_paths: keep scripts/lib/ working on a machine whose units or notebook kernel name
# it, as earlier versions did. The phases identity, metadata and jupyter write the current paths;
# the failure of another phase can delay them.
forward_earlier_paths() {
  local script draft="$scripts/lib.new"
  if [[ -d $scripts/lib ]] || ! grep -qs 'gpustation/scripts/lib/' \
    "$root"/etc/systemd/system/gpustation-{identity,metadata}.service \
    "$env"/share/jupyter/kernels/*/kernel.json; then
    return
  fi
  rm -rf "$draft"
  mkdir "$draft" || return
  for script in identity/become-new-machine.sh phases/12-limit-metadata/limit-metadata.sh \
    phases/50-start-jupyter/start-kernel.sh; do
    printf 'exec bash "%s" "$@"\n' "$scripts/$script" >"$draft/${script##*/}" || return
  done
  # Without sync, a power cut after the rename could leave empty files.
  sync
  mv "$draft" "$scripts/lib"
}

# note_progress STATE PHASE: note where the set-up is, whole or not at all. On a full disk it goes on.
note_progress() {
  {
    printf '%s %s %s\n' "$1" "$2" "$(date +%s)" >"$state/progress.new" &&
      mv -f "$state/progress.new" "$state/progress"
  } 2>/dev/null || true
}

# report_progress: write what was noted into the machine's report, in which gpustation status reads
# it. Without success it goes on.
report_progress() {
  if ! of_a_stack || [[ -z $(setting report) ]]; then
    return
  fi
  python3 -I "$scripts/phases/08-write-report/write_report.py" "$(setting report)" 10 9>&- \
    >>"$logs/report.log" 2>&1 || true
}

# is_done PHASE DIGEST: succeeds if the phase finished with the settings of this digest.
is_done() {
  [[ -e "$state/done/$1" && $(<"$state/done/$1") == "$2" ]]
}

# run_phase PHASE STEP FOLDER DIGEST KEYS: run a phase, and act on its exit status.
run_phase() {
  local phase=$1 step=$2 script="$scripts/phases/$3/phase.sh" digest=$4
  local status=0 begun=$SECONDS seconds=0
  local journal="$logs/$phase.log"
  if [[ -e "$state/done/$phase" ]]; then
    rm -f "$state/done/$phase" "$state/seconds/$phase"
  fi
  rm -f "$record" "$state/warnings/$phase"
  # Those of every boot take no time that anybody would wait for.
  note_progress running "$phase"
  [[ $5 == every-boot ]] || report_progress &
  {
    log "phase $phase started at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    GPUSTATION_PHASE=$phase GPUSTATION_RECORD=$record bash "$script" 9>&-
  } 2>&1 | tee -a "$journal" || status=${PIPESTATUS[0]}
  # A phase that was killed could not free it.
  ((status == 0)) || rm -f "$ballast"
  # The seconds of all attempts of a phase add up until it is done.
  seconds=$((SECONDS - begun))
  if [[ -e "$state/seconds/$phase" ]]; then
    seconds=$((seconds + $(<"$state/seconds/$phase")))
  fi
  printf '%s\n' "$seconds" >"$state/seconds/$phase"
  case $status in
    0) finish_phase "$phase" "$digest" "$seconds" ;;
    "$reboot_status") reboot_once "$phase" "$step" "$seconds" ;;
    *) fail_phase "$phase" "$step" "$status" "$seconds" ;;
  esac
}

finish_phase() {
  local phase=$1 digest=$2 seconds=$3
  log "phase $phase finished after $seconds s" | tee -a "$logs/$phase.log"
  rm -f "$state/rebooted-for/$phase"
  # A phase that ended with a warning runs again at the next boot.
  if [[ ! -e "$state/warnings/$phase" ]]; then
    printf '%s\n' "$digest" >"$state/done/$phase"
  fi
}

# reboot_once PHASE STEP SECONDS: reboot, or fail the phase if a reboot did not help. The marker
# holds the id of the boot in which the phase requested it, because the power may fail before the
# reboot.
reboot_once() {
  local phase=$1 step=$2 seconds=$3 marker="$state/rebooted-for/$1" boot
  boot=$(</proc/sys/kernel/random/boot_id)
  if [[ -e $marker && $(<"$marker") != "$boot" ]]; then
    printf '%s\n' "$fault_status" message \
      "still needs a reboot after a reboot: $(<"$state/reboot-reason")" >"$record"
    fail_phase "$phase" "$step" "$fault_status" "$seconds"
  fi
  printf '%s\n' "$boot" >"$marker"
  rm -f "$tries_file"
  sync
  if of_a_stack; then
    log "phase $phase continues after a reboot" | tee -a "$logs/$phase.log"
    systemctl reboot
  else
    log "phase $phase needs a reboot ($(<"$state/reboot-reason")) and continues by itself after" \
      'it: sudo reboot' | tee -a "$logs/$phase.log"
  fi
  exit 0
}

fail_phase() {
  local phase=$1 step=$2 status=$3 seconds=$4
  log "phase $phase failed with exit status $status after $seconds s" |
    tee -a "$logs/$phase.log"
  # Without the line above, whose content the report has already.
  head -n -1 "$logs/$phase.log" >"$state/failed-log"
  python3 -I "$scripts/runner/write_failure.py" "$state/failure.json" \
    "$phase" "$step" "$status" "$seconds" "$record" "$state/failed-log"
  note_progress failed "$phase"
  report_progress
  end_try "$status"
}

# begin_try: count this attempt; after three attempts that were killed, fail.
#
# systemd's own counter (StartLimitBurst) is only for failures before this point: depending on the
# version, it restarts at a daemon-reload, and it also counts starts by a person.
begin_try() {
  local tries=0
  systemctl reset-failed gpustation.service 2>/dev/null || true
  if [[ -e $tries_file ]]; then
    tries=$(<"$tries_file")
  fi
  if ((tries >= 3)); then
    rm -f "$tries_file"
    log 'error: 3 attempts ended without a report; the next boot tries again' |
      tee -a "$logs/report.log" >&2
    exit "$fault_status"
  fi
  mkdir -p "${tries_file%/*}"
  printf '%s\n' "$((tries + 1))" >"$tries_file"
}

# end_try STATUS: exit so that systemd starts the set-up again, at most three times per boot.
end_try() {
  if (($1 != fault_status && $(<"$tries_file") < 3)); then
    exit "$1"
  fi
  if (($1 != fault_status)); then
    log 'error: this was the last of 3 attempts; the next boot tries again' |
      tee -a "$logs/report.log" >&2
  fi
  rm -f "$tries_file"
  exit "$fault_status"
}

# signal_step STEP PHASE: signal CloudFormation, once, that the step is complete.
signal_step() {
  local step=$1 phase=$2 data
  [[ ! -e "$state/signaled/$step" ]] || return 0
  data=$(python3 -I "$scripts/runner/describe_step.py" "$step")
  if ! of_a_stack; then
    log "step $step: $data" | tee -a "$logs/report.log"
    return
  fi
  # The machine works without the signal, so this is no failure of the phase; the next start of the
  # set-up tries again.
  python3 -I "$opt/agent.py" signal "$step" --status SUCCESS --unique-id "$phase" \
    --reason "phase $phase finished" --data "$data" 2>&1 |
    tee -a "$logs/report.log" || undelivered=1
}

# read_settings: export the settings, and set $digests, for each phase the digest of the settings
# that it depends on, and $left_out, the phase to skip.
read_settings() {
  local row revision keys lines
  local -a lists=()
  for row in "${phase_rows[@]}"; do
    read -r _ _ _ revision keys <<<"$row"
    lists+=("$revision ${keys/every-boot/}")
  done
  GPUSTATION_SETTINGS=$(python3 -I "$scripts/runner/settings.py" list)
  export GPUSTATION_SETTINGS
  lines=$(python3 -I "$scripts/runner/settings.py" digest "${lists[@]}")
  mapfile -t digests <<<"$lines"
  if ! of_a_stack; then
    GPUSTATION_USER=$(setting user) GPUSTATION_HOME=$(setting home) left_out=$(setting left_out)
    export GPUSTATION_USER GPUSTATION_HOME
  fi
  use_network
}

main() {
  local row phase step phase_folder keys digest index=0
  local undelivered=0 left_out=
  local -a digests
  mkdir -p "$logs" "$state"/{done,facts,seconds,warnings,rebooted-for}
  # Created with another umask, they would be closed for the person.
  chmod 0755 "$opt" "$state"
  exec 9>"$state/lock"
  flock -n 9 || {
    log 'another run is in progress; waiting for it to end'
    flock 9
  }
  forward_earlier_paths || log 'warning: the paths of the earlier version do not work'
  begin_try
  # The set-up may succeed without it.
  head -c 1M /dev/zero >"$ballast" || log "warning: $ballast could not be written"
  rm -f "$state/failure.json" "$state/undelivered" "$state/reboot-reason"
  read_settings
  for row in "${phase_rows[@]}"; do
    read -r phase step phase_folder _ keys <<<"$row"
    digest=${digests[index++]}
    [[ $phase != "$left_out" ]] || continue
    if [[ $keys == every-boot ]] || ! is_done "$phase" "$digest"; then
      run_phase "$phase" "$step" "$phase_folder" "$digest" "$keys"
    fi
    case $phase in
      driver | jupyter | jupyter-check) signal_step "$step" "$phase" ;;
    esac
  done
  if ((undelivered)); then
    touch "$state/undelivered"
    # Not die, because another attempt may deliver them.
    log 'error: the set-up is complete, but not every signal could be delivered' |
      tee -a "$logs/report.log" >&2
    end_try 1
  fi
  rm -f "$tries_file"
  note_progress complete "$phase"
  report_progress
  log "the set-up is complete${left_out:+ but for phase $left_out}"
}

main
