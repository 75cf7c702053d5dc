# Sees at every boot whether kernel and driver still fit together. If another kernel booted than the
# one that the driver was installed for (someone lifted the hold, or it came before the hold), the
# driver is installed for this one. A GPU that stays away is a warning: the rest of the machine works.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../gpu/nvidia_smi.sh"

# Gone with the next boot.
notice="$root/run/motd.d/gpustation"

# The one reboot that this phase asks for until the GPU works again: the boot in which it asked.
asked="$state/rebooted-for/gpu"

# install_for_this_kernel: run the driver phase again; prints why it failed. It ends with the status
# of that phase.
install_for_this_kernel() {
  local status=0 own_record="$state/failed-repair"
  rm -f "$own_record"
  GPUSTATION_RECORD=$own_record bash "$scripts/phases/20-install-driver/phase.sh" >&2 || status=$?
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

# reboot_once_for_gpu WHY: ask for a reboot, unless one since the GPU last worked did not help.
reboot_once_for_gpu() {
  local boot
  boot=$(</proc/sys/kernel/random/boot_id)
  if [[ ! -e $asked || $(<"$asked") == "$boot" ]]; then
    printf '%s\n' "$boot" >"$asked"
    want_reboot "$1"
  fi
}

check_driver() {
  local found kernel line failed fact="$state/facts/driver" status=0
  local remedy='boot the kernel that apt-mark showhold names, or install the driver for this one'
  found=$(driver_state)
  case $found in
    'works '*)
      rm -f "$notice" "$asked"
      return
      ;;
    'hangs '*)
      notify "no GPU: ${found#* }; $(hang_remedy)"
      return
      ;;
    'reboot nvidia-smi exited 18: '* | 'reboot '*'version mismatch'*)
      # This boot loaded the module that does not fit: another one would load it again. Only where
      # the driver was updated while the machine came up does a reboot help.
      remedy="reboot if the driver was updated since this boot, else $remedy"
      ;;
    'reboot '*)
      reboot_once_for_gpu "${found#* }"
      notify "no GPU: ${found#* }; a reboot did not help: $(hang_remedy)"
      return
      ;;
  esac
  found=${found#* }
  kernel=$(uname -r)
  line="no GPU: kernel $kernel and the NVIDIA driver do not fit together ($found);"
  if [[ -e $fact && $(<"$fact") != *" with kernel $kernel" ]]; then
    log "$line installing the driver for this kernel"
    failed=$(install_for_this_kernel) || status=$?
    if ((status == 0)); then
      mv "$state/facts/$GPUSTATION_PHASE" "$fact"
      rm -f "$notice" "$asked"
      return
    elif ((status == reboot_status)); then
      exit "$reboot_status"
    fi
    line+=" installing it for this kernel failed ($(one_line "$failed"));"
  fi
  notify "$line $remedy"
}

check_driver
