# Tells in one line, at every boot, if kernel and driver no longer fit together: someone lifted the
# hold, or a kernel came from elsewhere. Only a warning, as the rest of the machine still works.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# Shown at every login; gone with the next boot.
notice="$root/run/motd.d/gpustation"

check_driver() {
  local said kernel line
  local -a words
  if said=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1); then
    rm -f "$notice"
    return
  fi
  kernel=$(uname -r)
  # In one line, whatever it said
  read -rd '' -a words <<<"$said" || true
  line="no GPU: kernel $kernel and the NVIDIA driver do not fit together (${words[*]});"
  line+=" boot the kernel that apt-mark showhold names, or install the driver for this one"
  warn "$line"
  mkdir -p "${notice%/*}"
  printf '%s\n' "gpustation: $line" >"$notice"
}

check_driver
