# shellcheck shell=bash
# What the framework computes on. Sourced after record.sh, never run.
# shellcheck disable=SC2154  # variables of record.sh

# compute_device: print gpu, or cpu on a machine of the embedded AWS without a GPU.
compute_device() {
  local device
  device=$(python3 -I "$scripts/gpu/compute_device.py" 2>&1) || die "$device"
  printf '%s\n' "$device"
}
