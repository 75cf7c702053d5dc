# Installs the NVIDIA driver as Canonical's prebuilt, signed module for the running kernel.
#
# An image that brings a working driver (a Deep Learning or a baked one) keeps it. Otherwise no
# reboot is needed while the archive has the module for the running kernel; if it has not, the
# meta package brings the newest kernel with its module, and the runner reboots once.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

driver_branch=$(setting driver_branch)
driver_kind=$(setting driver_kind)
fabric_manager=$(setting fabric_manager)
kernel=$(uname -r)
flavor=${kernel##*-}
modules="linux-modules-nvidia-$driver_branch"
if [[ $driver_kind == open ]]; then
  modules+=-open
fi

driver_version() {
  nvidia-smi --query-gpu=driver_version --format=csv,noheader
}

install_driver() {
  local userspace=("nvidia-utils-$driver_branch" "libnvidia-compute-$driver_branch")
  local installed
  require_space 1024 'the driver'
  apt_update
  if ! attempt apt-cache show --quiet=2 "$modules-$kernel" >/dev/null; then
    log "the archive has no $modules-$kernel; taking the newest kernel and its module"
    apt_install "$modules-$flavor" "${userspace[@]}"
    exit "$reboot_status"
  fi
  apt_install "$modules-$kernel" "${userspace[@]}"
  run modprobe -a nvidia nvidia_uvm
  installed=$(run_driver_version)
  # Some branches are empty packages that bring in another branch.
  if [[ $installed != "${driver_branch%%-*}".* ]]; then
    die "the driver that was installed is $installed, not of branch $driver_branch"
  fi
}

run_driver_version() {
  local versions
  if ! versions=$(driver_version 2>&1); then
    die "nvidia-smi does not see a GPU after the driver was installed: $versions"
  fi
  head -n 1 <<<"$versions"
}

# With install.sh nobody has compared this GPU with the framework yet. A driver too old to know the
# field leaves it to the verify phase.
require_capability() {
  local framework rows obstacle
  framework=$(setting framework)
  rows=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader 2>/dev/null) || return 0
  obstacle=$(python3 -I "$scripts/lib/check_capability.py" "$framework" 2>&1 <<<"$rows") ||
    die "$obstacle"
}

# The fabric manager refuses to work with any other version than the driver's own.
install_fabric_manager() {
  local package="nvidia-fabricmanager-${driver_branch%%-*}" version
  if attempt systemctl is-active --quiet nvidia-fabricmanager.service; then
    return
  fi
  # An image with a driver has no package lists, or old ones.
  apt_update
  version=$(apt-cache madison "$package" | awk -F '[ |]+' -v want="$1" \
    'index($3, want) == 1 { print $3; exit }')
  if [[ -z $version ]]; then
    die "the archive has no $package of version $1, which the NVSwitches of this type need"
  fi
  apt_install "$package=$version"
  run systemctl enable --now nvidia-fabricmanager.service
}

hold_packages() {
  local held
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  held=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
    'linux-image-*' 'linux-headers-*' 'linux-modules-*' "linux-$flavor*" \
    '*nvidia*' 2>/dev/null | awk '$1 == "installed" { print $2 }') || true
  if [[ -n $held ]]; then
    # shellcheck disable=SC2086  # one name per line
    run apt-mark hold $held
  fi
}

if versions=$(driver_version 2>/dev/null); then
  log "a driver works already: $versions"
else
  install_driver
fi
version=$(run_driver_version)
require_capability
if [[ $fabric_manager == true ]]; then
  install_fabric_manager "$version"
fi
mkdir -p "$root/etc/modules-load.d"
printf '%s\n' nvidia nvidia_uvm >"$root/etc/modules-load.d/gpustation.conf"
hold_packages
fact "driver $version with kernel $kernel"
