# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # shares variables with common.sh and with who sources this
# Sourced after common.sh by the phases that use the driver: asks it, and judges what it answers.

# Seconds until a query counts as failed. The first one on a machine with eight GPUs loads the
# firmware of each and takes up to a minute (estimate); verify.py has the same limit.
smi_seconds=${GPUSTATION_SMI_SECONDS:-120}
# Seconds for loading modules and starting services of the driver, each of which does the same.
load_seconds=${GPUSTATION_LOAD_SECONDS:-300}
# Seconds for computing: a sum over GPUs that cannot reach each other never ends. Importing the
# framework from the fresh disk of an image takes minutes (estimate).
verify_seconds=${GPUSTATION_VERIFY_SECONDS:-900}
# Exit statuses of nvidia-smi, which are NVML's return values (nvml.h): the GPU is lost, a reset is
# required, the library and the loaded kernel module are of different versions.
reboot_statuses=' 15 16 18 '
# The same in the words of nvidia-smi, which may exit with 255 or print them inside a row.
reboot_words='version mismatch|GPU is lost|fallen off the bus|requires reset|reset required'
reboot_words+='|reboot the system|unable to determine the device handle'

# within SECONDS COMMAND...: run it; status 124 if it has not ended by then.
#
# timeout(1) would wait for ever too: a GPU that hangs holds a process inside the kernel, where no
# signal ends it. It is left behind; the caller keeps it from holding our output.
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

# run_within SECONDS COMMAND...: run, with an end to it; a command that hangs is named.
run_within() {
  local seconds=$1 answer status=0
  shift
  log "+ $*"
  answer=$(mktemp)
  within "$seconds" "$@" >"$answer" 2>&1 || status=$?
  cat "$answer"
  rm -f "$answer"
  failed_command=
  if ((status == 124)); then
    die "$* did not end within $seconds s, the GPU or its driver hangs: $(hang_remedy)"
  elif ((status != 0)); then
    failed_command=$*
  fi
  return "$status"
}

# nvidia_smi_with_timeout ARGUMENT...: the answer of nvidia-smi. Status 124 after $smi_seconds.
nvidia_smi_with_timeout() {
  local answer status=0
  answer=$(mktemp)
  within "$smi_seconds" nvidia-smi "$@" >"$answer" 2>&1 || status=$?
  if ((status == 124)); then
    rm -f "$answer"
    echo "nvidia-smi did not answer within $smi_seconds s, the GPU or its driver hangs"
    return 124
  fi
  # 14: the answer is right, but the infoROM, which only keeps statistics, is damaged.
  if ((status == 14)); then
    status=0
  fi
  tr -d '\000\r' <"$answer" | LC_ALL=C sed '/^WARNING: infoROM /d'
  rm -f "$answer"
  return "$status"
}

# one_line TEXT: it in one line that can be shown. iconv leaves out what is no UTF-8.
one_line() {
  local -a words
  read -rd '' -a words < <(LC_ALL=C tr '[:cntrl:]' ' ' <<<"$1" |
    iconv -cs -f UTF-8 -t UTF-8) || true
  printf '%.300s\n' "${words[*]}"
}

# hang_remedy: what helps against a GPU that no longer answers.
hang_remedy() {
  if of_a_stack; then
    echo 'stop and start the machine, which moves it to another host'
  else
    echo 'switch the machine off and on again'
  fi
}

# driver_state: one word and, after a blank, the driver's version or what nvidia-smi printed:
#   works VERSION, hangs TEXT, reboot TEXT (a reboot cures it), odd TEXT, none TEXT (no driver)
driver_state() {
  local said version status=0
  said=$(nvidia_smi_with_timeout --query-gpu=driver_version --format=csv,noheader) || status=$?
  version=$(driver_versions <<<"$said" | head -n 1)
  said=$(one_line "$said")
  if ((status == 124)); then
    printf 'hangs %s\n' "$said"
  elif [[ $reboot_statuses == *" $status "* ]] ||
    LC_ALL=C grep -qaiE "$reboot_words" <<<"$said"; then
    printf 'reboot nvidia-smi exited %s: %s\n' "$status" "${said:-nothing}"
  elif ((status != 0)); then
    printf 'none nvidia-smi exited %s: %s\n' "$status" "${said:-nothing}"
  elif [[ -n $version ]]; then
    printf 'works %s\n' "$version"
  else
    printf 'odd nvidia-smi should print the version of the driver, and printed %s\n' \
      "${said:-nothing}"
  fi
}

# driver_versions: of the rows on standard input those that are a version, one for each GPU.
driver_versions() {
  LC_ALL=C sed -nE 's/^[[:blank:]]*([0-9]+(\.[0-9]+)+)[[:blank:]]*$/\1/p'
}

# loaded_kind: the kind of NVIDIA's kernel module that is loaded, open or proprietary, if any is.
loaded_kind() {
  local first
  read -r first 2>/dev/null <"$root/proc/driver/nvidia/version" || return 0
  if [[ $first == *'Open Kernel Module'* ]]; then
    echo open
  else
    echo proprietary
  fi
}

# require_fit VERSION: refuse a driver that works but does not fit framework and machine, before
# anything large is downloaded. A driver too old to know a field leaves that to the verify phase.
require_fit() {
  local rows framework obstacle kind seen gpus owner=standalone
  framework=$(setting framework)
  gpus=$(setting gpus)
  ! of_a_stack || owner=stack
  rows=$(nvidia_smi_with_timeout --query-gpu=name,compute_cap --format=csv,noheader) || rows=
  obstacle=$(python3 -I "$scripts/gpu/check_capability.py" "$framework" "$1" "$owner" 2>&1 \
    <<<"$rows") || die "$(one_line "$obstacle")"
  seen=$(nvidia_smi_with_timeout --query-gpu=driver_version --format=csv,noheader) || true
  seen=$(driver_versions <<<"$seen" | wc -l)
  if ((seen < gpus)); then
    kind=$(loaded_kind)
    obstacle="the driver $1 sees $((seen)) of the $gpus GPU(s) of this machine"
    if [[ -n $kind && $kind != $(setting driver_kind) ]]; then
      obstacle+="; its kernel module is the $kind one, and they need the $(setting driver_kind) one"
    fi
    die "$obstacle; see what the kernel says of the others: dmesg | grep -i nvrm"
  fi
}
