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

# Who has the addresses can report in this machine's name: for root's eyes only. As Python's json
# writes it: other bytes would count as other addresses.
umask 077
{
  printf '{"region": "%s", "settings_parameter": "%s", "signals": ' \
    "$GPUSTATION_REGION" "$GPUSTATION_SETTINGS_PARAMETER"
  printf '{"driver": "%s", "environment": "%s", "gpu": "%s"}}\n' \
    "$GPUSTATION_SIGNAL_DRIVER" "$GPUSTATION_SIGNAL_ENVIRONMENT" "$GPUSTATION_SIGNAL_GPU"
} >"$known.new"
# Other addresses mean a new machine on a copied disk: nothing has been reported for it.
cmp -s "$known.new" "$known" || rm -rf "$root/var/lib/gpustation/signaled"
mv "$known.new" "$known"
umask 022

# -I: root imports nothing from the current folder or from PYTHONPATH.
# Not multi-user.target: it comes before cloud-final.service, and systemd would cut that cycle
# at the second boot by silently leaving out this unit. What trying again cannot cure ends with
# status 78 and is reported at once; any other fault gets three tries. What has no end of its own is
# ended after 2 hours with SIGTERM, and reported at once: the journal then names the last command.
# systemd 254 and later call on OnFailure= before each further try too: then it has not failed yet.
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
TimeoutStartSec=2h
ExecStart=python3 -I "$opt/agent.py" fetch
ExecStart=bash "$opt/scripts/run.sh"
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=78 SIGTERM

[Install]
WantedBy=cloud-init.target
EOF

cat >"$units/gpustation-failure.service" <<EOF
[Unit]
Description=gpustation: report a failed set-up

[Service]
Type=oneshot
ExecCondition=systemctl is-failed -q gpustation.service
ExecStart=python3 -I "$opt/agent.py" report-failure
EOF

systemctl daemon-reload
systemctl enable gpustation.service
systemctl start --no-block gpustation.service
