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
# Seconds to wait for another program, like unattended upgrades, to release a lock of apt or dpkg.
lock_seconds=${GPUSTATION_LOCK_SECONDS:-300}
# What apt and dpkg print when another program holds a lock. DPkg::Lock::Timeout covers one lock only:
# not those of the package lists and downloads, and not dpkg's own that apt-mark needs.
busy='Could not get lock|lock was locked by another process'
# What a command prints for a fault that another try would only meet again.
hopeless='No space left on device|Hash mismatch|DO NOT MATCH THE HASHES|unmet dependencies'
hopeless+='|Unable to locate package|has no installation candidate'
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

# retry COMMAND...: run until it works, with growing pauses, for $retry_seconds at most, or for
# $lock_seconds while another program holds a lock, or until its output shows that it never will.
retry() {
  local said why status limit pause=5 begun=$SECONDS
  while true; do
    status=0
    said=$(
      trap - ERR
      run "$@" 2>&1 | tee -a /dev/stderr
    ) || status=$?
    if ((status == 0)); then
      failed_command=
      return
    fi
    # The line after it names pip's package.
    if why=$(grep -E -m 1 -A 1 "$hopeless" <<<"$said"); then
      why=${why#*cause: }
      die "${why//$'\n'/ }: trying again would not help: $*"
    fi
    limit=$retry_seconds
    if grep -qE "$busy" <<<"$said"; then
      limit=$lock_seconds pause=5
    fi
    if ((SECONDS - begun + pause > limit)); then
      failed_command=$*
      return "$status"
    fi
    log "exited $status; trying again in $pause s"
    sleep "$pause"
    pause=$((pause * 2))
  done
}

# apt_get ARGUMENT...: apt-get that never asks, waits for locks, and tries each download again. Its
# output is read, hence in English.
apt_get() {
  LC_ALL=C DEBIAN_FRONTEND=noninteractive retry apt-get -y -q -o "DPkg::Lock::Timeout=$lock_seconds" \
    -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold "$@"
}

# apt_update: fetch the package lists. A failure of the distribution's own archive is an error. A
# failure of another source is a warning, once per boot: what the phases install is Ubuntu's.
apt_update() {
  local own said status=0 other_fails="$root/run/gpustation/other-source-fails"
  # Without --error-on=any a mirror that does not answer counts as a success.
  if [[ ! -e $other_fails ]] && retry_seconds=0 apt_get --error-on=any update; then
    return
  fi
  own=$(own_sources)
  if [[ -z $own ]]; then
    apt_get --error-on=any update
    return
  fi
  # Without List-Cleanup=0 apt would delete the lists of all other sources.
  apt_get --error-on=any -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$own" \
    -o APT::Get::List-Cleanup=0 update || status=$?
  rm -rf "$own"
  if ((status != 0)) || [[ -e $other_fails ]]; then
    return "$status"
  fi
  # The first try may have met a fault that has passed since.
  if said=$(retry_seconds=0 apt_get --error-on=any -o Acquire::Retries=0 update 2>&1); then
    return
  fi
  said=$(grep -m 1 '^E: ' <<<"$said" || grep -m 1 '^W: ' <<<"$said") || true
  warn "an apt source beside the distribution's own fails and is not used: ${said:3}"
  mkdir -p "${other_fails%/*}"
  touch "$other_fails"
}

# own_sources: a folder with the distribution's own apt sources: sources.list, and what Ubuntu and
# Debian put beside it. Prints nothing if no source is in them, as with a mirror in another file.
own_sources() {
  local list parts file copies
  eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
  copies=$(mktemp -d)
  for file in "$list" "$parts"{ubuntu,debian}.sources; do
    if grep -qsE '^[[:space:]]*(deb|Types:)' "$file"; then
      ln -s "$file" "$copies"
    fi
  done
  if rmdir "$copies" 2>/dev/null; then
    return
  fi
  printf '%s\n' "$copies"
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

# use_network: lets what downloads go where the settings say, if anywhere: apt, pip, uv, git and curl
# all know these variables. The machine itself and the metadata service are asked directly.
use_network() {
  local proxy direct index
  proxy=$(setting proxy) index=$(setting package_index)
  direct="localhost,127.0.0.1,::1,169.254.169.254,fd00:ec2::254"
  [[ -z $(setting no_proxy) ]] || direct+=",$(setting no_proxy)"
  if [[ -n $proxy ]]; then
    export http_proxy=$proxy https_proxy=$proxy no_proxy=$direct
    export HTTP_PROXY=$proxy HTTPS_PROXY=$proxy NO_PROXY=$direct
  fi
  if [[ -n $index ]]; then
    export PIP_INDEX_URL=$index UV_DEFAULT_INDEX=$index
  fi
}

# compute_device: gpu; cpu on a machine of the embedded AWS that was told so.
compute_device() {
  local device
  device=$(python3 -I "$scripts/lib/compute_device.py" 2>&1) || die "$device"
  printf '%s\n' "$device"
}

# lock_file FRAMEWORK: what the environment is installed from. PyTorch's GPU build computes on a CPU
# too; for MXNet, whose build does not even load there, the folder has another lock.
lock_file() {
  local device own="$root/etc/gpustation/no-gpu/$1.lock"
  device=$(compute_device)
  if [[ $device == cpu && -e $own ]]; then
    printf '%s\n' "$own"
  else
    printf '%s\n' "$scripts/locks/$1.lock"
  fi
}
