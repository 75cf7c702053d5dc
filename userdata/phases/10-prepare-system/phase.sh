# Excludes the kernel and the driver, which must match, from unattended upgrades, keeps upgrades
# from restarting running services, and installs the Ubuntu packages for later phases and the
# person.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"

# Before anything that takes time: the first unattended upgrade starts soon after the first boot.
mkdir -p "$root/etc/apt/apt.conf.d"
cat >"$root/etc/apt/apt.conf.d/52gpustation" <<'EOF'
// A new kernel without its NVIDIA module, or a new driver library under a loaded older module,
// leaves the machine without a GPU. These are regular expressions of Python, matched at the start
// of a package's name. All other packages get their security updates.
Unattended-Upgrade::Package-Blacklist {
  "linux-(?!base|doc|firmware|libc-dev|source|tools)";
  "libnvidia-(?!container)";
  "nvidia-(?!container|cuda|docker|prime|profiler|settings|texture-tools|visual-profiler)";
  "xserver-xorg-video-nvidia";
};
EOF

# On Ubuntu 24.04, needrestart restarts the services that use an upgraded library after every
# unattended upgrade: Jupyter with its kernels, the set-up, units of systemd-run (run-...), and a
# person's user services. Programs of a login session are not affected.
mkdir -p "$root/etc/needrestart/conf.d"
cat >"$root/etc/needrestart/conf.d/gpustation.conf" <<'EOF'
# A restart would end training and notebooks; the next boot uses the upgraded libraries.
push @{$nrconf{blacklist_rc}}, qr(^gpustation), qr(^run-), qr(^user@);
EOF

# MXNet's binary needs libgomp1 and libquadmath0 of the system.
wanted=(ca-certificates curl git libgomp1 libquadmath0 python3-venv)
if of_a_stack || [[ $(setting for_image) == true ]]; then
  wanted+=(ec2-instance-connect)
fi
missing=()
for package in "${wanted[@]}"; do
  is_installed "$package" || missing+=("$package")
done
if ((${#missing[@]})); then
  require_space 1024 'the system packages'
  apt_update
  apt_install "${missing[@]}"
fi
