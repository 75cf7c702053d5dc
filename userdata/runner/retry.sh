# shellcheck shell=bash
# Retries, apt, and what else an installation needs. Sourced after record.sh, never run.
# shellcheck disable=SC2034,SC2154  # shares variables with record.sh

# Seconds of retrying per command: package mirrors recover within a minute or two.
retry_seconds=${GPUSTATION_RETRY_SECONDS:-120}
# Seconds to wait for another program, like unattended upgrades, to release a lock of apt or dpkg.
lock_seconds=${GPUSTATION_LOCK_SECONDS:-300}
# Output of apt and dpkg when another program holds a lock. DPkg::Lock::Timeout covers only one
# lock: not those of package lists and downloads, and not dpkg's own lock, which apt-mark needs.
busy='Could not get lock|lock was locked by another process'
# Output of commands for failures that a retry cannot fix.
hopeless='No space left on device|Hash mismatch|DO NOT MATCH THE HASHES|unmet dependencies'
hopeless+='|Unable to locate package|has no installation candidate'

# retry COMMAND...: run a command until it succeeds, with growing pauses. The last attempt starts
# within $retry_seconds, or within $lock_seconds if another program holds a lock. Dies at once if
# the output shows a failure that a retry cannot fix.
retry() {
  local output reason status limit pause=5 begun=$SECONDS
  while true; do
    status=0
    output=$(
      trap - ERR
      run "$@" 2>&1 | tee -a /dev/stderr
    ) || status=$?
    if ((status == 0)); then
      failed_command=
      return
    fi
    # pip names the package in the next line.
    if reason=$(grep -E -m 1 -A 1 "$hopeless" <<<"$output"); then
      reason=${reason#*cause: }
      die "${reason//$'\n'/ }: trying again would not help: $*"
    fi
    limit=$retry_seconds
    if grep -qE "$busy" <<<"$output"; then
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

# apt_get ARGUMENT...: apt-get without questions, which waits for locks and retries each download.
# In English, because retry searches its output.
apt_get() {
  LC_ALL=C DEBIAN_FRONTEND=noninteractive retry apt-get -y -q -o "DPkg::Lock::Timeout=$lock_seconds" \
    -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold "$@"
}

# apt_update: fetch the package lists. A failure of the distribution's own archive is an error. A
# failure of another source is a warning, once per boot, because the phases install packages of the
# distribution only.
apt_update() {
  local own output status=0 other_fails="$root/run/gpustation/other-source-fails"
  # Without --error-on=any, apt-get exits 0 if a mirror does not respond.
  if [[ ! -e $other_fails ]] && retry_seconds=0 apt_get --error-on=any update; then
    return
  fi
  own=$(own_sources)
  if [[ -z $own ]]; then
    apt_get --error-on=any update
    return
  fi
  # Without List-Cleanup=0, apt would delete the lists of all other sources.
  apt_get --error-on=any -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$own" \
    -o APT::Get::List-Cleanup=0 update || status=$?
  rm -rf "$own"
  if ((status != 0)) || [[ -e $other_fails ]]; then
    return "$status"
  fi
  # The failure of the first attempt may have been temporary.
  if output=$(retry_seconds=0 apt_get --error-on=any -o Acquire::Retries=0 update 2>&1); then
    return
  fi
  output=$(grep -m 1 '^E: ' <<<"$output" || grep -m 1 '^W: ' <<<"$output") || true
  warn "an apt source beside the distribution's own fails and is not used: ${output:3}"
  mkdir -p "${other_fails%/*}"
  touch "$other_fails"
}

# own_sources: print a new folder with links to the distribution's own apt sources: sources.list,
# ubuntu.sources and debian.sources. Prints nothing if none of them holds a source, for example
# because a mirror is configured in another file.
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

# require_space MIB WHAT: die before a download that would not fit on the disk.
require_space() {
  local free
  free=$(df --block-size=1M --output=avail "$opt" | tail -n 1)
  if ((free < $1)); then
    die "$2 needs $1 MiB free on the disk of $opt, there are $((free)):" \
      "raise disk_gib (new generation) or make room"
  fi
}
