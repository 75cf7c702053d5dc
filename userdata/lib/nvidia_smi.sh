# shellcheck shell=bash
# Sourced after common.sh by the phases that query the driver.

# Seconds until a query counts as failed. The first one on a machine with eight GPUs loads the
# firmware of each and takes up to a minute (estimate); verify.py has the same limit.
smi_seconds=${GPUSTATION_SMI_SECONDS:-120}

# nvidia_smi_with_timeout ARGUMENT...: the answer of nvidia-smi. Status 124 after $smi_seconds.
#
# timeout(1) would wait for ever too: a GPU that hangs holds nvidia-smi inside the kernel, where no
# signal ends it. It is left behind, and holds neither our output nor our lock.
nvidia_smi_with_timeout() {
  local answer pid status=0 waited=0
  answer=$(mktemp)
  nvidia-smi "$@" </dev/null >"$answer" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    if ((waited >= smi_seconds * 10)); then
      kill -KILL "$pid" 2>/dev/null || true
      disown "$pid" 2>/dev/null || true
      rm -f "$answer"
      echo "nvidia-smi did not answer within $smi_seconds s, the GPU or its driver hangs"
      return 124
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
  wait "$pid" || status=$?
  # 14: the answer is right, but the infoROM, which only keeps statistics, is damaged.
  if ((status == 14)); then
    status=0
  fi
  sed '/^WARNING: infoROM /d' "$answer"
  rm -f "$answer"
  return "$status"
}
