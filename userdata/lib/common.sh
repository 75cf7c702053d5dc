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
# What the bootstrap of the user data knows of the stack; absent after install.sh.
stack="$root/etc/gpustation/bootstrap.json"
# Which instance this is, and a file of cloud-init's that is as old as this boot.
# shellcheck disable=SC2034  # read by a phase and by become-new-machine.sh
instance_file="$root/var/lib/cloud/data/instance-id" boot_mark="$root/run/cloud-init/.instance-id"

# A phase that ends with this status wants one reboot and then to run again.
# shellcheck disable=SC2034  # read by the runner and a phase
reboot_status=79
# What trying again cannot cure ends with this status: systemd does not start the set-up again.
fault_status=78
# Seconds of trying again per command: package mirrors recover within a minute or two.
retry_seconds=${GPUSTATION_RETRY_SECONDS:-120}
# What a command says of a fault that another try would only meet again.
hopeless='No space left on device|Hash mismatch|DO NOT MATCH THE HASHES'
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
  trap - ERR
  exit "$fault_status"
}

# warn MESSAGE: go on; the report says it, and the phase runs again at the next boot.
warn() {
  log "warning: $*"
  printf '%s\n' "$*" >>"$state/warnings/$GPUSTATION_PHASE"
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

# retry COMMAND...: run until it works, with growing pauses, for $retry_seconds at most, or until
# it says that it never will.
retry() {
  local said why status pause=5 end=$((SECONDS + retry_seconds))
  while true; do
    status=0
    said=$(
      trap - ERR
      run "$@" 2>&1 | tee -a /dev/stderr
    ) || status=$?
    if ((status == 0)); then
      return
    fi
    # The line after it names pip's package.
    if why=$(grep -E -m 1 -A 1 "$hopeless" <<<"$said"); then
      why=${why#*cause: }
      die "${why//$'\n'/ }: trying again would not help: $*"
    fi
    if ((SECONDS + pause > end)); then
      failed_command=$*
      return "$status"
    fi
    log "exited $status; trying again in $pause s"
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# apt_get ARGUMENT...: apt-get that never asks, waits for unattended upgrades to let go of the lock,
# and tries each download again.
apt_get() {
  DEBIAN_FRONTEND=noninteractive retry apt-get -y -q \
    -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold "$@"
}

# Without --error-on=any a mirror that does not answer counts as a success.
apt_update() {
  apt_get --error-on=any update
}

apt_install() {
  apt_get --no-install-recommends install "$@"
}

is_installed() {
  local status
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || return 1
  [[ $status == installed ]]
}

# require_space MIB WHAT: refuse to begin what would fill the disk half way.
require_space() {
  local free
  free=$(df --block-size=1M --output=avail "$opt" | tail -n 1)
  if ((free < $1)); then
    die "$2 needs $1 MiB free on the disk of $opt, there are $((free)):" \
      "raise disk_gib (new generation) or make room"
  fi
}

# of_a_stack: whether a stack launched this machine and waits for its reports.
of_a_stack() {
  [[ -e $stack ]]
}

# setting NAME: its value in the settings parameter; true and false for booleans. The runner
# reads them once, into $GPUSTATION_SETTINGS.
setting() {
  local line
  while IFS= read -r line; do
    if [[ $line == "$1="* ]]; then
      printf '%s\n' "${line#*=}"
      return
    fi
  done <<<"$GPUSTATION_SETTINGS"
  die "the settings parameter has no $1; deploy again with the version that wrote these scripts"
}

# compute_device: gpu; cpu on a machine of the embedded AWS that was told so.
compute_device() {
  local device
  device=$(python3 -I "$scripts/lib/compute_device.py" 2>&1) || die "$device"
  printf '%s\n' "$device"
}

# lock_file FRAMEWORK MINOR: what the environment is installed from. PyTorch's GPU build computes
# on a CPU too; for MXNet, whose build does not even load there, the folder has another lock.
lock_file() {
  local device own="$root/etc/gpustation/no-gpu/$1-$2.lock"
  device=$(compute_device)
  if [[ $device == cpu && -e $own ]]; then
    printf '%s\n' "$own"
  else
    printf '%s\n' "$scripts/locks/$1-$2.lock"
  fi
}
