# shellcheck shell=bash
# The machine's settings in bash. Sourced after record.sh, never run.
# shellcheck disable=SC2154  # variables of record.sh

# What the bootstrap of the user data knows of the stack; absent after install.sh.
stack="$root/etc/gpustation/bootstrap.json"

# of_a_stack: whether a stack launched this machine and waits for its reports.
of_a_stack() {
  [[ -e $stack ]]
}

# setting NAME: its value in the settings parameter; true and false for booleans. The runner
# reads them once, into $GPUSTATION_SETTINGS.
setting() {
  local line
  while IFS= read -r line; do
    if [[ $line == "$1="* ]]; then
      printf '%s\n' "${line#*=}"
      return
    fi
  done <<<"$GPUSTATION_SETTINGS"
  die "the settings parameter has no $1; deploy again with the version that wrote these scripts"
}

# use_network: lets what downloads go where the settings say, if anywhere: apt, pip, uv, git and curl
# all know these variables. The machine itself and the metadata service are asked directly.
use_network() {
  local proxy direct index
  proxy=$(setting proxy) index=$(setting package_index)
  direct="localhost,127.0.0.1,::1,169.254.169.254,fd00:ec2::254"
  [[ -z $(setting no_proxy) ]] || direct+=",$(setting no_proxy)"
  if [[ -n $proxy ]]; then
    export http_proxy=$proxy https_proxy=$proxy no_proxy=$direct
    export HTTP_PROXY=$proxy HTTPS_PROXY=$proxy NO_PROXY=$direct
  fi
  if [[ -n $index ]]; then
    export PIP_INDEX_URL=$index UV_DEFAULT_INDEX=$index
  fi
}
