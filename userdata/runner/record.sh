# shellcheck shell=bash
# What the runner and its phases share. Sourced, never run.
#
# A phase is a bash file that sources this one first. Whatever fails in it ends it, and leaves
# in $GPUSTATION_RECORD the exit status and the command, with its arguments expanded.
set -Eeuo pipefail
# Else a fault within $(...) is passed over.
shopt -s inherit_errexit
umask 022

root=${GPUSTATION_ROOT:-}
opt="$root/opt/gpustation"
state="$root/var/lib/gpustation"
# The folder and not the link to it: a newer version may be switched in while this one runs.
# shellcheck disable=SC2034  # read by the phases
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# The person whose machine it is; with install.sh it may be another than the images' own.
# shellcheck disable=SC2034  # read by the phases
user=${GPUSTATION_USER:-ubuntu} home="$root${GPUSTATION_HOME:-/home/ubuntu}" env="$opt/env"
# Which instance this is, and a file of cloud-init's that is as old as this boot.
# shellcheck disable=SC2034  # read by a phase and by become-new-machine.sh
instance_file="$root/var/lib/cloud/data/instance-id" boot_mark="$root/run/cloud-init/.instance-id"

# A phase that ends with this status wants one reboot and then to run again.
# shellcheck disable=SC2034  # read by the runner and a phase
reboot_status=79
# What trying again cannot cure ends with this status: systemd does not start the set-up again.
fault_status=78
failed_command=
# Filled space, given up at the first fault: else a full disk could not even write the report.
ballast="$state/ballast"

log() {
  printf 'gpustation: %s\n' "$*"
}

# die MESSAGE: fail for good, with a sentence instead of a command, also from within $(...).
die() {
  log "error: $*" >&2
  record "$fault_status" message "$*"
  exit "$fault_status"
}

# was_rebooted: whether this phase has had its one reboot; see reboot_once of the runner.
was_rebooted() {
  local marker="$state/rebooted-for/$GPUSTATION_PHASE"
  [[ -e $marker && $(<"$marker") != "$(</proc/sys/kernel/random/boot_id)" ]]
}

# want_reboot WHY: end the phase, also from within $(...); the runner reboots once and runs it again.
want_reboot() {
  log "$1: a reboot is needed" >&2
  printf '%s\n' "$1" >"$state/reboot-reason"
  exit "$reboot_status"
}

# warn MESSAGE: go on; the report says it, and the phase runs again at the next boot. Outside of a
# phase it is a line of the log only.
warn() {
  log "warning: $*"
  [[ -z ${GPUSTATION_PHASE:-} ]] || printf '%s\n' "$*" >>"$state/warnings/$GPUSTATION_PHASE"
}

# fact MESSAGE: what the report tells of this phase.
fact() {
  log "$*"
  printf '%s\n' "$*" >"$state/facts/$GPUSTATION_PHASE"
}

# The first fault is the cause: what a subshell recorded is not overwritten by its parent.
record() {
  rm -f "$ballast"
  [[ -z ${GPUSTATION_RECORD:-} || -s $GPUSTATION_RECORD ]] ||
    printf '%s\n' "$@" >"$GPUSTATION_RECORD"
}

on_error() {
  local status=$1 command=$2
  record "$status" command "${failed_command:-$command}"
}
trap 'on_error "$?" "$BASH_COMMAND"' ERR

# run COMMAND...: log the command as it is run; its failure is reported with these arguments.
run() {
  local status=0
  log "+ $*"
  "$@" || status=$?
  failed_command=
  ((status == 0)) || failed_command=$*
  return "$status"
}

# attempt COMMAND...: run, where failing is one of the expected answers.
attempt() {
  local status=0
  run "$@" || status=$?
  failed_command=
  return "$status"
}
