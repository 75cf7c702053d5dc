# shellcheck shell=bash
# The machine's settings in bash. Sourced after record.sh, never run.
# shellcheck disable=SC2154  # variables of record.sh

# Written by the bootstrap of the user data; absent on a machine that install.sh set up.
stack="$root/etc/gpustation/bootstrap.json"

# of_a_stack: succeeds if a stack launched this machine and waits for its signals.
of_a_stack() {
  [[ -e $stack ]]
}

# setting NAME: print a setting's value; booleans as true or false. run.sh reads all settings once,
# into $GPUSTATION_SETTINGS.
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

# use_network: export the proxy and package index of the settings, if any. apt, pip, uv, git and
# curl all read these variables. Requests to the machine itself and to the metadata service use no
# proxy.
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
