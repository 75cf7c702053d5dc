# shellcheck shell=bash
# Sourced after record.sh, never run.
# shellcheck disable=SC2154  # variables of record.sh

# compute_device: gpu; cpu on a machine of the embedded AWS that was told so.
compute_device() {
  local device
  device=$(python3 -I "$scripts/gpu/compute_device.py" 2>&1) || die "$device"
  printf '%s\n' "$device"
}
