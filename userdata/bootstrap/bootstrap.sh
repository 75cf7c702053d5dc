# Lays down the agent and its units and starts the set-up, at every boot. It neither waits nor
# installs: cloud-init does not repeat what dies half way, a systemd unit goes on.
# GPUSTATION_ROOT is a prefix of every path, for tests; empty on a real machine.
set -euo pipefail

root=${GPUSTATION_ROOT:-}
opt="$root/opt/gpustation"
units="$root/etc/systemd/system"
known="$root/etc/gpustation/bootstrap.json"
install -d -m 0755 "$opt" "$units" "${known%/*}"
printf '%s\n' "$GPUSTATION_AGENT" >"$opt/agent.py"

# Who has the addresses can report in this machine's name: for root's eyes only.
umask 077
python3 -c '
import json, os
get = os.environ.__getitem__
signals = {s: get("GPUSTATION_SIGNAL_" + s.upper()) for s in ("driver", "environment", "gpu")}
print(json.dumps({
    "region": get("GPUSTATION_REGION"),
    "settings_parameter": get("GPUSTATION_SETTINGS_PARAMETER"),
    "signals": signals,
}))' >"$known.new"
# Other addresses mean a new machine on a copied disk: nothing has been reported for it.
cmp -s "$known.new" "$known" || rm -rf "$root/var/lib/gpustation/signaled"
mv "$known.new" "$known"
umask 022

# Not multi-user.target: it comes before cloud-final.service, and systemd would cut that cycle
# at the second boot by silently leaving out this unit.
cat >"$units/gpustation.service" <<EOF
[Unit]
Description=gpustation: set up this GPU workstation
After=cloud-final.service network-online.target
Wants=network-online.target
OnFailure=gpustation-failure.service
StartLimitIntervalSec=12h
StartLimitBurst=3

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/env python3 "$opt/agent.py" fetch
ExecStart=/usr/bin/env bash "$opt/scripts/run.sh"
Restart=on-failure
RestartSec=10
# What trying again cannot cure is reported at once; any other fault gets three tries.
RestartPreventExitStatus=78

[Install]
WantedBy=cloud-init.target
EOF

cat >"$units/gpustation-failure.service" <<EOF
[Unit]
Description=gpustation: report that the set-up failed

[Service]
Type=oneshot
ExecStart=/usr/bin/env python3 "$opt/agent.py" report-failure
EOF

systemctl daemon-reload
systemctl enable gpustation.service
systemctl start --no-block gpustation.service
