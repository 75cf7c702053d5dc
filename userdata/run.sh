#!/usr/bin/env bash
# Runs the phases that make this machine a GPU workstation, and reports them to CloudFormation.
#
# Started at every boot. A phase that finished with today's settings is not run again, one that
# was interrupted is: each is safe to repeat.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/runner/record.sh"
. "$(dirname "${BASH_SOURCE[0]}")/runner/settings.sh"

logs="$root/var/log/gpustation"
record="$state/failed-command"
tries_file="$root/run/gpustation/tries"

# Each phase: the step that it reports to, its folder, its revision, and the settings that it depends
# on. Newer scripts alone repeat nothing; a higher revision repeats a phase on machines that exist.
# It is raised for phases of seconds, never for driver or environment.
phase_rows=(
  'warm          driver       04-warm-files         1  every-boot'
  'access        driver       05-authorize-key      1  every-boot'
  'identity      driver       07-keep-identity      1  every-boot'
  'system        driver       10-prepare-system     3  framework'
  'metadata      driver       12-limit-metadata     1  every-boot'
  'driver        driver       20-install-driver     1  machine driver_kind driver_branch fabric_manager'
  'driver-check  driver       25-check-driver       1  every-boot'
  'environment   environment  30-build-environment  1  framework cuda_toolkit'
  'notebooks     environment  40-fetch-notebooks    1  framework notebooks'
  'person        environment  45-give-environment   1  every-boot'
  'jupyter       environment  50-start-jupyter      4  framework machine jupyter_port proxy no_proxy package_index'
  'verify        gpu          60-verify-gpu         1  framework machine instance_type gpus'
  'jupyter-check gpu          70-check-jupyter      2  framework machine jupyter_port'
)

# forward_earlier_paths: keep scripts/lib/ working on a machine whose units or notebook kernel still
# name it, as earlier versions did. The phases identity, metadata and jupyter write the paths of
# today; until they have run, which another phase's failure can delay, these files forward.
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

# is_done PHASE DIGEST
is_done() {
  [[ -e "$state/done/$1" && $(<"$state/done/$1") == "$2" ]]
}

# run_phase PHASE STEP FOLDER DIGEST
run_phase() {
  local phase=$1 step=$2 folder=$3 digest=$4 status=0 begun=$SECONDS seconds=0
  local journal="$logs/$phase.log"
  if [[ -e "$state/done/$phase" ]]; then
    rm -f "$state/done/$phase" "$state/seconds/$phase"
  fi
  rm -f "$record" "$state/warnings/$phase"
  {
    log "phase $phase started at $(date -u +%Y-%m-%dT%H:%M:%SZ)"
    GPUSTATION_PHASE=$phase GPUSTATION_RECORD=$record bash "$scripts/phases/$folder/phase.sh" 9>&-
  } 2>&1 | tee -a "$journal" || status=${PIPESTATUS[0]}
  # A phase that was killed could not give it up.
  ((status == 0)) || rm -f "$ballast"
  # The seconds of an interrupted or repeated phase add up until it is done.
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
  # What ended with a warning is tried again at the next boot.
  if [[ ! -e "$state/warnings/$phase" ]]; then
    printf '%s\n' "$digest" >"$state/done/$phase"
  fi
}

# reboot_once PHASE STEP SECONDS: reboot, unless one did not help. The boot in which the phase
# asked is remembered, as the power may go before that boot ends.
reboot_once() {
  local phase=$1 step=$2 seconds=$3 marker="$state/rebooted-for/$1" boot
  boot=$(</proc/sys/kernel/random/boot_id)
  if [[ -e $marker && $(<"$marker") != "$boot" ]]; then
    printf '%s\n' "$fault_status" message \
      "still needs a reboot after one: $(<"$state/reboot-reason")" >"$record"
    fail_phase "$phase" "$step" "$fault_status" "$seconds"
  fi
  printf '%s\n' "$boot" >"$marker"
  rm -f "$tries_file"
  sync
  if of_a_stack; then
    log "phase $phase goes on after a reboot" | tee -a "$logs/$phase.log"
    systemctl reboot
  else
    log "phase $phase needs a reboot ($(<"$state/reboot-reason")) and goes on by itself after it:" \
      'sudo reboot' | tee -a "$logs/$phase.log"
  fi
  exit 0
}

fail_phase() {
  local phase=$1 step=$2 status=$3 seconds=$4
  log "phase $phase failed with exit status $status after $seconds s" |
    tee -a "$logs/$phase.log"
  # The line just written says nothing that the report does not say better.
  head -n -1 "$logs/$phase.log" >"$state/failed-log"
  python3 -I "$scripts/runner/write_failure.py" "$state/failure.json" \
    "$phase" "$step" "$status" "$seconds" "$record" "$state/failed-log"
  end_try "$status"
}

# begin_try: count this one; what was killed three times is not started again.
#
# The count is ours alone. systemd's begins anew at a daemon-reload or goes on over it, as the version
# has it, and counts what a person starts: it is left to what never comes to here.
begin_try() {
  local tries=0
  systemctl reset-failed gpustation.service 2>/dev/null || true
  if [[ -e $tries_file ]]; then
    tries=$(<"$tries_file")
  fi
  if ((tries >= 3)); then
    rm -f "$tries_file"
    log 'error: 3 tries ended without a word; the next boot tries again' |
      tee -a "$logs/report.log" >&2
    exit "$fault_status"
  fi
  mkdir -p "${tries_file%/*}"
  printf '%s\n' "$((tries + 1))" >"$tries_file"
}

# end_try STATUS: exit so that systemd tries again, three times per boot.
end_try() {
  if (($1 != fault_status && $(<"$tries_file") < 3)); then
    exit "$1"
  fi
  if (($1 != fault_status)); then
    log 'error: this was the last of 3 tries; the next boot tries again' |
      tee -a "$logs/report.log" >&2
  fi
  rm -f "$tries_file"
  exit "$fault_status"
}

# signal_step STEP PHASE: tell CloudFormation, once, that the step is complete.
signal_step() {
  local step=$1 phase=$2 data
  [[ ! -e "$state/signaled/$step" ]] || return 0
  data=$(python3 -I "$scripts/runner/describe_step.py" "$step")
  if ! of_a_stack; then
    log "step $step: $data" | tee -a "$logs/report.log"
    return
  fi
  # Without its signal the machine is as good; the next start or boot tries again.
  python3 -I "$opt/agent.py" signal "$step" --status SUCCESS --unique-id "$phase" \
    --reason "phase $phase finished" --data "$data" 2>&1 |
    tee -a "$logs/report.log" || undelivered=1
}

# Fills the settings for the phases, each phase's digest of those that it depends on, and the phase
# to leave out.
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
  local row phase step folder keys digest index=0
  local undelivered=0 left_out=
  local -a digests
  mkdir -p "$logs" "$state"/{done,facts,seconds,warnings,rebooted-for}
  # A set-up under another umask left them closed for the person
  chmod 0755 "$opt" "$state"
  exec 9>"$state/lock"
  flock -n 9 || {
    log 'another run is under way; waiting for it to end'
    flock 9
  }
  forward_earlier_paths || log 'warning: the paths of the earlier release do not work until the set-up is complete'
  begin_try
  # Without it too the set-up may succeed.
  head -c 1M /dev/zero >"$ballast" || log "warning: $ballast could not be written"
  rm -f "$state/failure.json" "$state/undelivered" "$state/reboot-reason"
  read_settings
  for row in "${phase_rows[@]}"; do
    read -r phase step folder _ keys <<<"$row"
    digest=${digests[index++]}
    [[ $phase != "$left_out" ]] || continue
    if [[ $keys == every-boot ]] || ! is_done "$phase" "$digest"; then
      run_phase "$phase" "$step" "$folder" "$digest"
    fi
    case $phase in
      driver | jupyter | jupyter-check) signal_step "$step" "$phase" ;;
    esac
  done
  if ((undelivered)); then
    touch "$state/undelivered"
    # Not die: another try may deliver them.
    log 'error: the set-up is complete, but not every signal could be delivered' |
      tee -a "$logs/report.log" >&2
    end_try 1
  fi
  rm -f "$tries_file"
  log "the set-up is complete${left_out:+ but for phase $left_out}"
}

main
