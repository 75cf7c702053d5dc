#!/usr/bin/env bash
# On a disk that was copied to another machine, removes what two machines must not share, before
# anybody can log in: Jupyter's token, the machine id, the marks of the signals, and the signal
# addresses and public key of the old launch. cloud-init makes the new SSH host keys.
# Runs once per machine; after an interruption it starts again.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../runner/record.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../runner/settings.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../home/as_owner.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../identity/token.sh"

known="$state/instance-id"
if cmp -s "$instance_file" "$known"; then
  exit 0
fi
old=$(<"$known")
log "this disk was of instance $old and is now of $(<"$instance_file"): removing the old identity"
# cloud-init keeps the old user data, which holds the old signal addresses.
rm -rf "$root/var/lib/cloud/instances/${old:?}"
if of_a_stack; then
  # The new stack's settings will be fetched. Settings of install.sh, without a stack, are kept.
  rm -f "$state/settings.json"
  # Signal addresses written in this boot are the new stack's; older ones are the old machine's.
  if [[ ! $stack -nt $boot_mark ]]; then
    rm -f "$stack"
    run systemctl disable gpustation.service
    # Its start is already queued in this boot.
    run systemctl stop --no-block gpustation.service
  fi
fi
rm -rf "$state"/{signaled,rebooted-for,seconds,warnings,token-of,failure.json,undelivered,warmed} \
  "$state"/{verify.json,interruption.json,done/{verify,jupyter-check},facts/verify}
if [[ -e $token_file ]]; then
  make_token
fi
# shellcheck disable=SC2016  # expanded by the owner's shell
forget='rm -f .*_history .config/gpustation/jupyter-token && exec python3 -I -c "$1" ""'
for folder in "$root"/{root,home/*}; do
  [[ -d $folder ]] || continue
  as_owner "$folder" sh -c "$forget" sh "$(<"$scripts/home/authorize_key.py")" ||
    log "warning: $folder keeps the old machine's key and histories: $owner_output"
done
# In systemd's format, 32 hexadecimal digits. Running programs keep the old id until a reboot.
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
cp "$instance_file" "$known"
sync
