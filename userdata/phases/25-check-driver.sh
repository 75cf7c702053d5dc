# Sees at every boot whether kernel and driver still fit together. If another kernel booted than the
# one that the driver was installed for (someone lifted the hold, or it came before the hold), the
# driver is installed for this one. A GPU that stays away is a warning: the rest of the machine works.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../lib/nvidia_smi.sh"

# Gone with the next boot.
notice="$root/run/motd.d/gpustation"

# one_line TEXT: it in one line.
one_line() {
  local -a words
  read -rd '' -a words <<<"$1" || true
  printf '%s\n' "${words[*]}"
}

# install_for_this_kernel: run the driver phase again; prints why it failed. It ends with the status
# of that phase.
install_for_this_kernel() {
  local status=0 own_record="$state/failed-repair"
  rm -f "$own_record"
  GPUSTATION_RECORD=$own_record bash "$scripts/phases/20-install-driver.sh" >&2 || status=$?
  # An exit status, a kind, and the text
  [[ ! -e $own_record ]] || tail -n +3 "$own_record"
  rm -f "$own_record"
  return "$status"
}

# notify LINE: warn, and show it at every login.
notify() {
  warn "$1"
  mkdir -p "${notice%/*}"
  printf '%s\n' "gpustation: $1" >"$notice"
}

check_driver() {
  local said kernel line failed fact="$state/facts/driver" status=0
  said=$(nvidia_smi_with_timeout --query-gpu=driver_version --format=csv,noheader) || status=$?
  if ((status == 0)); then
    rm -f "$notice"
    return
  elif ((status == 124)); then
    notify "no GPU: $said; stop and start the machine, which moves it to another host"
    return
  fi
  kernel=$(uname -r)
  line="no GPU: kernel $kernel and the NVIDIA driver do not fit together ($(one_line "$said"));"
  if [[ -e $fact && $(<"$fact") != *" with kernel $kernel" ]]; then
    log "$line installing the driver for this kernel"
    status=0
    failed=$(install_for_this_kernel) || status=$?
    if ((status == 0)); then
      mv "$state/facts/$GPUSTATION_PHASE" "$fact"
      rm -f "$notice"
      return
    elif ((status == reboot_status)); then
      exit "$reboot_status"
    fi
    line+=" installing it for this kernel failed ($(one_line "$failed"));"
  fi
  notify "$line boot the kernel that apt-mark showhold names, or install the driver for this one"
}

check_driver
