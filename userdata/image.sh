#!/usr/bin/env bash
# Prepares this machine, which install.sh --for-image set up, to become an image.
#
# Usage, as root: image.sh install ...   install.sh --for-image, for Image Builder; takes the
#                                        options of install.sh
#                 image.sh clean         removes secrets, identities and logs; keeps what was
#                                        installed, and the marks of the finished phases
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
verify="$scripts/phases/60-verify-gpu/verify.py"
describe_environment="$scripts/phases/30-build-environment/describe_environment.py"

# secrets: print every file and folder that must not be on two machines.
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
  # Keep what was built and the facts its phases recorded; everything else of ours is deleted.
  find "$opt" -mindepth 1 -maxdepth 1 ! -name env ! -name python ! -name uv
  find "$state" -mindepth 1 ! -type d ! -name environment-complete ! -name loaded-files \
    ! -path '*/done/system' ! -path '*/done/environment' ! -path '*/done/notebooks' \
    ! -path '*/facts/*'
}

# remove_units: remove the units and commands that the set-up installed. A machine of the image
# installs its own.
remove_units() {
  local unit
  for unit in gpustation-{jupyter,identity,metadata,failure}.service gpustation.service; do
    if [[ -e "$units/$unit" ]]; then
      run systemctl disable --now "$unit"
      rm -f "$units/$unit"
    fi
  done
  rm -f "$units/gpustation-training@.service"
  rm -f "$root"/usr/local/bin/gpustation-{jupyter-url,shell} "$root/etc/motd.d/gpustation"
  run systemctl daemon-reload
}

install() {
  local device status=0
  bash "$scripts/install.sh" --for-image "$@" || status=$?
  # On exit status 194, Image Builder reboots the machine and runs the step again.
  ((status != 3)) || exit 194
  ((status == 0)) || exit "$status"
  # Jupyter's user cannot write there, so without this Python would compile at every start. Files
  # for other versions of Python fail to compile, which does no harm.
  attempt "$env/bin/python" -I -m compileall -qq -j 0 "$env/lib" || true
  # Writes the list of loaded files. Its result is ignored: the image is verified on a machine of
  # it.
  device=$(compute_device)
  log "+ verify.py $device"
  within "$verify_seconds" \
    "$env/bin/python" -I "$verify" "$device" >/dev/null 2>&1 || true
}

clean() {
  local secret_paths path
  remove_units
  secret_paths=$(secrets)
  while IFS= read -r path; do
    if [[ $path == "$root/etc/machine-id" ]]; then
      # Empty, not absent: systemd then makes a new id without treating the boot as a first boot.
      : >"$path"
    elif [[ $path =~ ^("$root"/(root|home/[^/]+))/(.+)$ ]]; then
      # If the owner may not remove it, check reports it.
      as_owner "${BASH_REMATCH[1]}" rm -rf -- "${BASH_REMATCH[3]}" || log "$path: $owner_output"
    elif [[ -n $path ]]; then
      rm -rf "$path"
    fi
  done <<<"$secret_paths"
  find "$state" -mindepth 1 -type d -empty -delete
  # Logs and caches: no secrets, but private or soon outdated. Some are written again while the
  # machine runs, so check does not look for them.
  find "$root/var/log" -type f -delete
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/lib/dhcp/* \
    "$root/var/lib/systemd/random-seed"
  sync
  log 'the image holds no secrets, identities or logs'
}

check() {
  local remaining phase framework described
  remaining=$(secrets)
  [[ -z $remaining ]] || die "the image would hold ${remaining//$'\n'/, }"
  for phase in system environment; do
    [[ -s "$state/done/$phase" ]] || die "phase $phase left no mark that it is done"
  done
  framework=$(<"$state/environment-complete")
  described=$("$env/bin/python" -I "$describe_environment" "$framework")
  log "the image holds $described"
}

check_reuse() {
  local phase
  for phase in system environment; do
    [[ ! -e "$state/seconds/$phase" ]] || die "phase $phase was run again on a machine of the image"
  done
  log 'nothing of the image was installed again'
}

case ${1:-} in
  install) install "${@:2}" ;;
  clean) clean ;;
  check) check ;;
  check-reuse) check_reuse ;;
  *) die 'usage: image.sh install ... | clean | check | check-reuse' ;;
esac
