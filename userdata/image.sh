#!/usr/bin/env bash
# Makes this machine, which install.sh --for-image set up, fit to be an image for others.
#
# Usage, as root: image.sh install ...   install.sh --for-image, for Image Builder; takes the
#                                        options of install.sh
#                 image.sh clean         takes away secrets, identities and traces; what was
#                                        installed stays, with the marks that say so
#                 image.sh check         fails, with names, if a secret is left or a part missing
#                 image.sh check-reuse   on a machine of the image, after install.sh: fails if
#                                        something was installed again
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/runner/record.sh"
. "$(dirname "${BASH_SOURCE[0]}")/runner/settings.sh"
. "$(dirname "${BASH_SOURCE[0]}")/home/as_owner.sh"
. "$(dirname "${BASH_SOURCE[0]}")/gpu/nvidia_smi.sh"
. "$(dirname "${BASH_SOURCE[0]}")/gpu/compute_device.sh"
shopt -s nullglob dotglob

units="$root/etc/systemd/system"
# secrets: every file and folder that must not be in two machines.
secrets() {
  local path
  for path in "$root"/etc/gpustation/{bootstrap.json,network.env}* \
    "$root"/etc/ssh/ssh_host_* \
    "$root"/{root,home/*}/.{ssh,aws,docker,netrc,git-credentials} \
    "$root"/{root,home/*}/.*_history "$root"/{root,home/*}/.{lesshst,viminfo,wget-hsts} \
    "$root"/{root,home/*}/.config/gpustation "$root"/{root,home/*}/.ipython \
    "$root"/{root,home/*}/.local/share/jupyter "$root"/{root,home/*}/.jupyter \
    "$root"/var/lib/cloud/{data,instance,instances,sem} \
    "$root"/var/lib/systemd/credential.secret; do
    if [[ -e $path || -L $path ]]; then
      printf '%s\n' "$path"
    fi
  done
  if [[ -s "$root/etc/machine-id" ]]; then
    printf '%s\n' "$root/etc/machine-id"
  fi
  if [[ -f "$root/var/lib/dbus/machine-id" && ! -L "$root/var/lib/dbus/machine-id" ]]; then
    printf '%s\n' "$root/var/lib/dbus/machine-id"
  fi
  # Of our own only what was built stays, and what its phases, not run again, leave to tell.
  find "$opt" -mindepth 1 -maxdepth 1 ! -name env ! -name python ! -name uv
  find "$state" -mindepth 1 ! -type d ! -name environment-complete ! -name loaded-files \
    ! -path '*/done/system' ! -path '*/done/environment' ! -path '*/done/notebooks' \
    ! -path '*/facts/*'
}

# The units of this machine's own set-up; a stack's machine brings or makes its own.
remove_units() {
  local unit
  for unit in gpustation-{jupyter,identity,metadata,failure}.service gpustation.service; do
    if [[ -e "$units/$unit" ]]; then
      run systemctl disable --now "$unit"
      rm -f "$units/$unit"
    fi
  done
  rm -f "$root"/usr/local/bin/gpustation-{jupyter-url,shell} "$root/etc/motd.d/gpustation"
  run systemctl daemon-reload
}

install() {
  local device status=0
  bash "$scripts/install.sh" --for-image "$@" || status=$?
  # At 194 Image Builder reboots the machine and runs its step again.
  ((status != 3)) || exit 194
  ((status == 0)) || exit "$status"
  # Once for all machines of the image. Jupyter's user cannot write there, so it would compile at
  # every start. What is not for this Python does not compile.
  attempt "$env/bin/python" -I -m compileall -qq -j 0 "$env/lib" || true
  # For the list of what that loads; whether it computes is asked on a machine of the image.
  device=$(compute_device)
  log "+ verify.py $device"
  within "$verify_seconds" "$env/bin/python" -I "$scripts/phases/60-verify-gpu/verify.py" "$device" >/dev/null 2>&1 || true
}

clean() {
  local found path
  remove_units
  found=$(secrets)
  while IFS= read -r path; do
    if [[ $path == "$root/etc/machine-id" ]]; then
      # Empty, not absent: systemd makes a new one and takes no first boot for another.
      : >"$path"
    elif [[ $path =~ ^("$root"/(root|home/[^/]+))/(.+)$ ]]; then
      # What its owner may not remove, check names
      as_owner "${BASH_REMATCH[1]}" rm -rf -- "${BASH_REMATCH[3]}" || log "$path: $owner_said"
    elif [[ -n $path ]]; then
      rm -rf "$path"
    fi
  done <<<"$found"
  find "$state" -mindepth 1 -type d -empty -delete
  # Traces: no secrets, but nobody else's business, or old by then. Some come back while the
  # machine runs, so check does not ask for them.
  find "$root/var/log" -type f -delete
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/lib/dhcp/* \
    "$root/var/lib/systemd/random-seed"
  sync
  log 'nothing is left that an image must not hold'
}

check() {
  local left phase framework described
  left=$(secrets)
  [[ -z $left ]] || die "the image would hold ${left//$'\n'/, }"
  for phase in system environment; do
    [[ -s "$state/done/$phase" ]] || die "phase $phase left no mark that it is done"
  done
  framework=$(<"$state/environment-complete")
  described=$("$env/bin/python" -I "$scripts/phases/30-build-environment/describe_environment.py" "$framework")
  log "the image holds $described"
}

check_reuse() {
  local phase
  for phase in system environment; do
    [[ ! -e "$state/seconds/$phase" ]] || die "phase $phase was run again on a machine of the image"
  done
  log 'what the image brought was not installed again'
}

case ${1:-} in
  install) install "${@:2}" ;;
  clean) clean ;;
  check) check ;;
  check-reuse) check_reuse ;;
  *) die 'usage: image.sh install ... | clean | check | check-reuse' ;;
esac
