# shellcheck shell=bash
# Paths, logging and failure records, shared by the runner and its phases. Sourced, never run.
#
# Each phase sources this file first. The first command that fails ends the phase; its exit status
# and the command, with its arguments expanded, are written to $GPUSTATION_RECORD.
set -Eeuo pipefail
# Without this, a failure inside $(...) does not stop the script.
shopt -s inherit_errexit
umask 022

root=${GPUSTATION_ROOT:-}
opt="$root/opt/gpustation"
state="$root/var/lib/gpustation"
# The folder, not the link to it: the link may be switched to a newer version while this one runs.
# shellcheck disable=SC2034  # read by the phases
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# The person who uses the machine. install.sh can name another user than the images' default.
# shellcheck disable=SC2034  # read by the phases
user=${GPUSTATION_USER:-ubuntu} home="$root${GPUSTATION_HOME:-/home/ubuntu}" env="$opt/env"
# cloud-init's files: the id of this instance, and a file that it writes once per boot.
# shellcheck disable=SC2034  # read by phase 07-keep-identity and by become-new-machine.sh
instance_file="$root/var/lib/cloud/data/instance-id" boot_mark="$root/run/cloud-init/.instance-id"

# Exit status of a phase that needs one reboot and must then run again.
# shellcheck disable=SC2034  # read by the runner and a phase
reboot_status=79
# Exit status of a failure that a retry cannot fix: systemd does not start the set-up again.
fault_status=78
failed_command=
# 1 MiB in reserve, freed at the first failure so that the report can be written even on a full
# disk.
ballast="$state/ballast"

log() {
  printf 'gpustation: %s\n' "$*"
}

# die MESSAGE: fail without a retry. The report shows the message instead of a command. Works
# inside $(...) too.
die() {
  log "error: $*" >&2
  record "$fault_status" message "$*"
  exit "$fault_status"
}

# was_rebooted: succeeds if the reboot that this phase requested has happened; see reboot_once in
# run.sh.
was_rebooted() {
  local marker="$state/rebooted-for/$GPUSTATION_PHASE"
  [[ -e $marker && $(<"$marker") != "$(</proc/sys/kernel/random/boot_id)" ]]
}

# want_reboot REASON: end the phase; run.sh reboots once and runs it again. Works inside $(...) too.
want_reboot() {
  log "$1: a reboot is needed" >&2
  printf '%s\n' "$1" >"$state/reboot-reason"
  exit "$reboot_status"
}

# warn MESSAGE: continue. The report shows the message, and the phase runs again at the next boot.
# Outside of a phase the message is only logged.
warn() {
  log "warning: $*"
  [[ -z ${GPUSTATION_PHASE:-} ]] || printf '%s\n' "$*" >>"$state/warnings/$GPUSTATION_PHASE"
}

# fact MESSAGE: set the result of this phase that the report shows.
fact() {
  log "$*"
  printf '%s\n' "$*" >"$state/facts/$GPUSTATION_PHASE"
}

# record STATUS command|message TEXT: write the failure record. The first failure is the cause, so
# the parent of a subshell does not overwrite what the subshell recorded.
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

# run COMMAND...: log and run a command. The report of its failure shows these arguments.
run() {
  local status=0
  log "+ $*"
  "$@" || status=$?
  failed_command=
  ((status == 0)) || failed_command=$*
  return "$status"
}

# attempt COMMAND...: like run, for a command whose failure is an expected result.
attempt() {
  local status=0
  run "$@" || status=$?
  failed_command=
  return "$status"
}
