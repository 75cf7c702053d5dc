# Checks at every boot that kernel and driver still match. If another kernel booted than the one
# that the driver was installed for (someone removed the hold, or the kernel was installed before
# it), the driver is installed for this kernel. A missing GPU is only a warning: the rest of the
# machine works.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../gpu/nvidia_smi.sh"

# In /run, so it disappears with the next boot.
notice="$root/run/motd.d/gpustation"

# Holds the id of the boot in which this phase requested a reboot. It requests only one until the
# GPU works again.
requested="$state/rebooted-for/gpu"

# install_for_this_kernel: run the driver phase again, and print the reason if it fails. Returns the
# exit status of that phase.
install_for_this_kernel() {
  local status=0 own_record="$state/failed-repair"
  rm -f "$own_record"
  GPUSTATION_RECORD=$own_record bash "$scripts/phases/20-install-driver/phase.sh" >&2 || status=$?
  # The first two lines are the exit status and the kind of the record.
  [[ ! -e $own_record ]] || tail -n +3 "$own_record"
  rm -f "$own_record"
  return "$status"
}

# notify WORD...: warn, and show the line at every login.
notify() {
  warn "$*"
  mkdir -p "${notice%/*}"
  printf '%s\n' "gpustation: $*" >"$notice"
}

# reboot_once_for_gpu REASON: request a reboot, unless one happened since the GPU last worked.
reboot_once_for_gpu() {
  local boot
  boot=$(</proc/sys/kernel/random/boot_id)
  if [[ ! -e $requested || $(<"$requested") == "$boot" ]]; then
    printf '%s\n' "$boot" >"$requested"
    want_reboot "$1"
  fi
}

# check_count: notify if some of several GPUs are missing since the last boot.
check_count() {
  local gpus visible
  gpus=$(setting gpus)
  ((gpus > 1)) || return 0
  visible=$(count_gpus)
  if ((visible < gpus)); then
    notify "the driver sees $((visible)) of the $gpus GPUs of this machine; see what the kernel says" \
      "of the others (dmesg | grep -i nvrm); $(hang_remedy)"
  fi
}

check_driver() {
  local current kernel line failed fact="$state/facts/driver" status=0
  local remedy='boot the kernel that apt-mark showhold names, or install the driver for this one'
  current=$(driver_state)
  case $current in
    'works '*)
      rm -f "$notice" "$requested"
      check_count
      return
      ;;
    'hangs '*)
      notify "no GPU: ${current#* }; $(hang_remedy)"
      return
      ;;
    'reboot nvidia-smi exited 18: '* | 'reboot '*'version mismatch'*)
      # The module of this boot does not match the library, and the next boot would load it again. A
      # reboot helps only if the driver was updated during this boot.
      remedy="reboot if the driver was updated since this boot, else $remedy"
      ;;
    'reboot '*)
      reboot_once_for_gpu "${current#* }"
      notify "no GPU: ${current#* }; a reboot did not help: $(hang_remedy)"
      return
      ;;
  esac
  current=${current#* }
  kernel=$(uname -r)
  line="no GPU: kernel $kernel and the NVIDIA driver do not fit together ($current);"
  if [[ -e $fact && $(<"$fact") != *" with kernel $kernel" ]]; then
    log "$line installing the driver for this kernel"
    failed=$(install_for_this_kernel) || status=$?
    if ((status == 0)); then
      mv "$state/facts/$GPUSTATION_PHASE" "$fact"
      rm -f "$notice" "$requested"
      return
    elif ((status == reboot_status)); then
      exit "$reboot_status"
    fi
    line+=" installing it for this kernel failed ($(one_line "$failed"));"
  fi
  notify "$line $remedy"
}

check_driver
