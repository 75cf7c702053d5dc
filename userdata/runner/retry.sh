# shellcheck shell=bash
# Commands that are tried again, and apt. Sourced after record.sh, never run.
# shellcheck disable=SC2154  # variables of record.sh

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
