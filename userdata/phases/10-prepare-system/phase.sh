# Keeps unattended upgrades away from the kernel and the driver, which must stay a pair, and from
# what runs; then installs what the later phases and the person need from Ubuntu.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"

# Before anything that takes time: the first unattended upgrade comes soon after the first boot.
mkdir -p "$root/etc/apt/apt.conf.d"
cat >"$root/etc/apt/apt.conf.d/52gpustation" <<'EOF'
// A new kernel without its NVIDIA module, or a new driver library under a loaded older module,
// leaves the machine without a GPU. Python's regular expressions, from a name's beginning: what
// is neither kernel nor driver goes on to get its security updates.
Unattended-Upgrade::Package-Blacklist {
  "linux-(?!base|doc|firmware|libc-dev|source|tools)";
  "libnvidia-(?!container)";
  "nvidia-(?!container|cuda|docker|prime|profiler|settings|texture-tools|visual-profiler)";
  "xserver-xorg-video-nvidia";
};
EOF

# On Ubuntu 24.04 needrestart restarts the services that use an upgraded library, after every
# unattended upgrade: Jupyter with its kernels, the set-up, what systemd-run runs (run-...), and what
# a person runs as a user's service. It ends no program of a login.
mkdir -p "$root/etc/needrestart/conf.d"
cat >"$root/etc/needrestart/conf.d/gpustation.conf" <<'EOF'
# A restart would end training and notebooks; the next boot uses the upgraded libraries.
push @{$nrconf{blacklist_rc}}, qr(^gpustation), qr(^run-), qr(^user@);
EOF

# libgomp1 and libquadmath0 are what MXNet's binary takes from the system.
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
