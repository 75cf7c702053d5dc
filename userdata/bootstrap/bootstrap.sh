# Writes the agent and its units and starts the set-up, at every boot. It neither waits nor
# installs, because cloud-init does not repeat a failed script, whereas systemd restarts a unit.
# GPUSTATION_ROOT is a prefix of all paths, for tests; empty on a real machine.
set -euo pipefail

root=${GPUSTATION_ROOT:-}
opt="$root/opt/gpustation"
units="$root/etc/systemd/system"
known="$root/etc/gpustation/bootstrap.json"
install -d -m 0755 "$opt" "$units" "${known%/*}"
printf '%s\n' "$GPUSTATION_AGENT" >"$opt/agent.py"

# Only root may read the signal addresses: anybody who has them can send this machine's signals. The
# format is that of Python's json, because different bytes count as different addresses.
umask 077
{
  printf '{"region": "%s", "settings_parameter": "%s", "signals": ' \
    "$GPUSTATION_REGION" "$GPUSTATION_SETTINGS_PARAMETER"
  printf '{"driver": "%s", "environment": "%s", "gpu": "%s"}}\n' \
    "$GPUSTATION_SIGNAL_DRIVER" "$GPUSTATION_SIGNAL_ENVIRONMENT" "$GPUSTATION_SIGNAL_GPU"
} >"$known.new"
# Different addresses mean a new machine with a copied disk, which has not sent its signals.
cmp -s "$known.new" "$known" || rm -rf "$root/var/lib/gpustation/signaled"
mv "$known.new" "$known"
umask 022

# -I: root's Python imports nothing from the current folder or from PYTHONPATH.
# Not multi-user.target: cloud-final.service starts after it, and systemd would break that cycle at
# the second boot by silently dropping this unit. A failure that a retry cannot fix ends with status
# 78 and is reported at once; all others get three attempts. A set-up that hangs is ended after 2
# hours with SIGTERM and reported at once; the journal then shows the last command.
# systemd 254 and later start OnFailure= before each further attempt too, hence ExecCondition=.
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
