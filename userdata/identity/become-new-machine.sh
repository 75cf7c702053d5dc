#!/usr/bin/env bash
# On a disk that was copied into another machine, takes away what must not be shared, before
# anybody can log in: Jupyter's token, machine id, ready marks, the old launch's addresses and key.
# New SSH host keys are cloud-init's work. Once per machine; interrupted, it begins again.
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
log "this disk was instance $old; now it is $(<"$instance_file"), and becomes its own"
# cloud-init keeps the old user data, with its addresses.
rm -rf "$root/var/lib/cloud/instances/${old:?}"
if of_a_stack; then
  # The new stack's are fetched; what install.sh was told stays.
  rm -f "$state/settings.json"
  # Addresses of this boot are the new stack's; others belong to the machine that was copied.
  if [[ ! $stack -nt $boot_mark ]]; then
    rm -f "$stack"
    run systemctl disable gpustation.service
    # This boot has queued its start already
    run systemctl stop --no-block gpustation.service
  fi
fi
rm -rf "$state"/{signaled,rebooted-for,seconds,warnings,token-of,failure.json,undelivered,warmed} \
  "$state"/{verify.json,done/{verify,jupyter-check},facts/verify}
if [[ -e $token_file ]]; then
  make_token
fi
# shellcheck disable=SC2016  # for the owner's shell
forget='rm -f .*_history .config/gpustation/jupyter-token && exec python3 -I -c "$1" ""'
for folder in "$root"/{root,home/*}; do
  [[ -d $folder ]] || continue
  as_owner "$folder" sh -c "$forget" sh "$(<"$scripts/home/authorize_key.py")" ||
    log "warning: $folder keeps the old machine's key and histories: $owner_said"
done
# As systemd makes one: 32 hexadecimal digits. What runs already keeps the old one until a reboot.
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
cp "$instance_file" "$known"
sync
