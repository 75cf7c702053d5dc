# Installs what the later phases and the person need from Ubuntu, and keeps unattended upgrades
# away from the kernel and the driver, which must stay a pair.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

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

mkdir -p "$root/etc/apt/apt.conf.d"
cat >"$root/etc/apt/apt.conf.d/52gpustation" <<'EOF'
// A new kernel without its NVIDIA module, or a new driver library under a loaded older module,
// leaves the machine without a GPU.
Unattended-Upgrade::Package-Blacklist {
  "linux-";
  "libnvidia-";
  "nvidia-";
};
EOF
