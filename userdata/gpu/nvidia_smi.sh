# shellcheck shell=bash
# Queries of the NVIDIA driver, and what their results mean. Sourced after record.sh and
# settings.sh, never run.
# shellcheck disable=SC2034,SC2154  # shares variables with them and with its callers

# Seconds until a query counts as failed. The first query on a machine with eight GPUs loads the
# firmware of each and takes up to a minute (estimate). verify.py has the same limit.
smi_seconds=${GPUSTATION_SMI_SECONDS:-120}
# Seconds for loading kernel modules and for starting services, which load the firmware as well.
load_seconds=${GPUSTATION_LOAD_SECONDS:-300}
# Seconds for verify.py: an all-reduce over GPUs that cannot reach each other never ends. Importing
# the framework from a new disk of an image takes minutes (estimate).
verify_seconds=${GPUSTATION_VERIFY_SECONDS:-900}
# Exit statuses of nvidia-smi, which are NVML's return values (nvml.h): the GPU is lost, a reset is
# required, the library and the loaded kernel module are of different versions.
reboot_statuses=' 15 16 18 '
# The same as text: nvidia-smi may exit with 255, or print the error inside a row.
reboot_words='version mismatch|GPU is lost|fallen off the bus|requires reset|reset required'
reboot_words+='|reboot the system|unable to determine the device handle'

# within SECONDS COMMAND...: run a command; status 124 if it has not ended after that time.
#
# timeout(1) could wait for ever: a process that waits for a hanging GPU inside the kernel cannot be
# killed. Such a process is left behind, so the caller must redirect its output.
within() {
  local pid status=0 waited=0 limit=$(($1 * 10))
  shift
  "$@" </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((waited >= limit)); then
      kill -KILL "$pid" 2>/dev/null || true
      disown "$pid" 2>/dev/null || true
      return 124
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
  wait "$pid" || status=$?
  return "$status"
}

# run_within SECONDS COMMAND...: like run, with a time limit; dies with the command's name after it.
run_within() {
  local seconds=$1 output status=0
  shift
  log "+ $*"
  output=$(mktemp)
  within "$seconds" "$@" >"$output" 2>&1 || status=$?
  cat "$output"
  rm -f "$output"
  failed_command=
  if ((status == 124)); then
    die "$* did not end within $seconds s, the GPU or its driver hangs: $(hang_remedy)"
  elif ((status != 0)); then
    failed_command=$*
  fi
  return "$status"
}

# nvidia_smi_with_timeout ARGUMENT...: print the output of nvidia-smi. Status 124 after
# $smi_seconds.
nvidia_smi_with_timeout() {
  local output status=0
  output=$(mktemp)
  within "$smi_seconds" nvidia-smi "$@" >"$output" 2>&1 || status=$?
  if ((status == 124)); then
    rm -f "$output"
    echo "nvidia-smi did not answer within $smi_seconds s, the GPU or its driver hangs"
    return 124
  fi
  # 14: the output is right, but the infoROM, which holds only statistics, is damaged.
  if ((status == 14)); then
    status=0
  fi
  tr -d '\000\r' <"$output" | LC_ALL=C sed '/^WARNING: infoROM /d'
  rm -f "$output"
  return "$status"
}

# one_line TEXT: print a text as one line of at most 300 characters. iconv drops invalid UTF-8.
one_line() {
  local -a words
  read -rd '' -a words < <(LC_ALL=C tr '[:cntrl:]' ' ' <<<"$1" |
    iconv -cs -f UTF-8 -t UTF-8) || true
  printf '%.300s\n' "${words[*]}"
}

# hang_remedy: print what to do about a GPU that no longer responds.
hang_remedy() {
  if of_a_stack; then
    echo 'stop and start the machine, which moves it to another host'
  else
    echo 'switch the machine off and on again'
  fi
}

# driver_state: print a word, a blank, and the driver's version or the output of nvidia-smi:
#   works VERSION, hangs TEXT, reboot TEXT (a reboot fixes it), odd TEXT, none TEXT (no driver)
driver_state() {
  local output version status=0
  output=$(nvidia_smi_with_timeout --query-gpu=driver_version --format=csv,noheader) || status=$?
  version=$(driver_versions <<<"$output" | head -n 1)
  output=$(one_line "$output")
  if ((status == 124)); then
    printf 'hangs %s\n' "$output"
  elif [[ $reboot_statuses == *" $status "* ]] ||
    LC_ALL=C grep -qaiE "$reboot_words" <<<"$output"; then
    printf 'reboot nvidia-smi exited %s: %s\n' "$status" "${output:-nothing}"
  elif ((status != 0)); then
    printf 'none nvidia-smi exited %s: %s\n' "$status" "${output:-nothing}"
  elif [[ -n $version ]]; then
    printf 'works %s\n' "$version"
  else
    printf 'odd nvidia-smi should print the version of the driver, and printed %s\n' \
      "${output:-nothing}"
  fi
}

# driver_versions: print the rows of standard input that are a version: one for each GPU.
driver_versions() {
  LC_ALL=C sed -nE 's/^[[:blank:]]*([0-9]+(\.[0-9]+)+)[[:blank:]]*$/\1/p'
}

# loaded_kind: print the kind of NVIDIA's loaded kernel module, open or proprietary; nothing if none
# is loaded.
loaded_kind() {
  local first
  read -r first 2>/dev/null <"$root/proc/driver/nvidia/version" || return 0
  if [[ $first == *'Open Kernel Module'* ]]; then
    echo open
  else
    echo proprietary
  fi
}

# count_gpus: print how many GPUs the driver sees.
count_gpus() {
  local visible
  visible=$(nvidia_smi_with_timeout --query-gpu=driver_version --format=csv,noheader) || true
  driver_versions <<<"$visible" | wc -l
}

# require_fit VERSION: die if the driver works but does not fit the framework or the machine, before
# a large download. Fields that an old driver does not know are left to phase 60-verify-gpu.
require_fit() {
  local rows framework obstacle kind visible gpus owner=standalone
  framework=$(setting framework)
  gpus=$(setting gpus)
  ! of_a_stack || owner=stack
  rows=$(nvidia_smi_with_timeout --query-gpu=name,compute_cap --format=csv,noheader) || rows=
  obstacle=$(python3 -I "$scripts/gpu/check_capability.py" "$framework" "$1" "$owner" 2>&1 \
    <<<"$rows") || die "$(one_line "$obstacle")"
  visible=$(count_gpus)
  if ((visible < gpus)); then
    kind=$(loaded_kind)
    obstacle="the driver $1 sees $((visible)) of the $gpus GPU(s) of this machine"
    if [[ -n $kind && $kind != $(setting driver_kind) ]]; then
      obstacle+="; its kernel module is the $kind one, and they need the $(setting driver_kind) one"
    fi
    die "$obstacle; see what the kernel says of the others: dmesg | grep -i nvrm"
  fi
}
