# Starts Jupyter on the loopback interface as an ordinary user, protected by a token that leaves the
# machine only through the person's own connection. This phase does not wait for Jupyter: phase
# 60-verify-gpu runs while it starts.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../home/as_owner.sh"
. "$here/../../identity/token.sh"

framework=$(setting framework)
unit=gpustation-jupyter.service

# place_token: make a token, one per machine: a disk that was copied to another machine gets a new
# one.
place_token() {
  local machine
  machine=$(python3 -I "$scripts/runner/settings.py" digest "1 machine")
  if [[ -s $token_file && -e "$state/token-of" && $(<"$state/token-of") == "$machine" ]]; then
    return
  fi
  make_token
  # The path of release 0.1.0.
  as_owner "$home" rm -f .config/gpustation/jupyter-token || log "warning: $owner_output"
  printf '%s\n' "$machine" >"$state/token-of"
}

# install_kernel: install the notebook kernel, which runs in the person's own environment. An image
# has it already, but not its command.
install_kernel() {
  local -A titles=([mxnet]=MXNet [pytorch]=PyTorch)
  local spec="$env/share/jupyter/kernels/$framework"
  if [[ ! -e "$spec/kernel.json" ]]; then
    run "$env/bin/python" -I -m ipykernel install --prefix "$env" \
      --name "$framework" --display-name "${titles[$framework]}"
  fi
  mkdir -p "$spec"
  cat >"$spec/kernel.json.new" <<EOF
{
 "argv": ["bash", "$opt/scripts/phases/50-start-jupyter/start-kernel.sh", "$env", "$framework",
  "$opt/scripts/locks/$framework-constraints.txt", "-f", "{connection_file}"],
 "display_name": "${titles[$framework]}",
 "language": "python",
 "metadata": {"debugger": true}
}
EOF
  mv "$spec/kernel.json.new" "$spec/kernel.json"
}

install_unit() {
  mkdir -p "$root/etc/systemd/system" "$root/usr/local/bin"
  local blanks=(-e "s|@OPT@|$opt|g" -e "s|@HOME@|$home|g" -e "s|@USER@|$user|g"
    -e "s|@FRAMEWORK@|$framework|g" -e "s|@PORT@|$(setting jupyter_port)|g" -e "s|@STATE@|$state|g"
    -e "s|@ROOT@|$root|g")
  sed "${blanks[@]}" "$here/$unit" >"$root/etc/systemd/system/$unit"
  sed "${blanks[@]}" "$here/gpustation-jupyter-url" \
    >"$root/usr/local/bin/gpustation-jupyter-url"
  chmod 0755 "$root/usr/local/bin/gpustation-jupyter-url"
}

# place_network: let notebooks use the same proxy and package index. Only root may read the file,
# because the proxy may have a password; systemd reads it as root.
place_network() {
  local name file="$root/etc/gpustation/network.env"
  mkdir -p "${file%/*}"
  (
    umask 077
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL; do
      [[ -z ${!name:-} ]] || printf '%s=%s\n' "$name" "${!name}"
    done >"$file.new"
  )
  mv "$file.new" "$file"
}

place_token
place_network
install_kernel
install_unit
# enable also makes systemd reload its units.
run systemctl enable "$unit"
run systemctl restart "$unit"
