# Installs the NVIDIA driver as Canonical's prebuilt, signed module for the running kernel.
#
# A working driver of the image (a Deep Learning AMI or a baked one) is kept if it fits the
# framework and the GPUs. Otherwise apt installs the module for the running kernel, without a
# reboot. If apt cannot, the meta package installs the newest kernel with its module, and run.sh
# reboots once. It also reboots once if only a reboot can fix the driver.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"
. "$here/../../gpu/nvidia_smi.sh"

driver_branch=$(setting driver_branch)
driver_kind=$(setting driver_kind)
fabric_manager=$(setting fabric_manager)
kernel=$(uname -r)
flavor=${kernel##*-}
modules="linux-modules-nvidia-$driver_branch"
if [[ $driver_kind == open ]]; then
  modules+=-open
fi
userspace=("nvidia-utils-$driver_branch" "libnvidia-compute-$driver_branch")
# Packages that an earlier run put on hold may have to change together with the kernel.
past_holds=(--ignore-hold --allow-change-held-packages)

# plan PACKAGE...: print what apt would do to install packages; status 100, with apt's reason, if it
# cannot. A package in the archive may not be installable: a module depends on one version of the
# driver, and remains in the archive when it has a newer driver.
plan() {
  LC_ALL=C apt-get -s -q -y --no-install-recommends "${past_holds[@]}" install "$@" 2>&1
}

# reason_of PLAN: print in one line why apt cannot install the packages.
reason_of() {
  local -a words
  read -rd '' -a words < <(grep 'Depends: ' <<<"$1" || grep '^E: ' <<<"$1") || true
  printf '%s\n' "${words[*]}"
}

install_driver() {
  local planned installed
  require_space 1024 'the driver'
  apt_update
  if ! planned=$(plan "$modules-$kernel" "${userspace[@]}"); then
    take_newest_kernel "$(reason_of "$planned")"
  fi
  apt_install "${past_holds[@]}" "$modules-$kernel" "${userspace[@]}"
  if grep -qsE '^(nouveau|nova_core) ' "$root/proc/modules"; then
    free_gpu
  fi
  run_within "$load_seconds" modprobe -a nvidia nvidia_uvm
  installed=$(require_driver)
  # Some branches are empty packages that bring in another branch.
  if [[ $installed != "${driver_branch%%-*}".* ]]; then
    die "the driver that was installed is $installed, not of branch $driver_branch"
  fi
}

# take_newest_kernel REASON: install the newest kernel with its module, and end the phase for a
# reboot. REASON is why the running kernel's module cannot be installed.
take_newest_kernel() {
  local meta planned brought newest reason=$1
  if was_rebooted; then
    die "no NVIDIA module can be installed for kernel $kernel, which runs after the reboot too:" \
      "$reason"
  fi
  log "apt cannot install $modules-$kernel; taking the newest kernel and its module: $reason"
  for meta in "$modules-$flavor" "$modules-$flavor-hwe-$(release)"; do
    if ! planned=$(plan "$meta" "${userspace[@]}"); then
      reason="$(reason_of "$planned") $reason"
      continue
    fi
    brought=$(kernel_of "$meta" "$planned")
    newest=$(newest_kernel "$brought")
    # The meta package of an older kernel series does not help.
    if [[ $newest == "$brought" ]]; then
      apt_install "${past_holds[@]}" "$meta" "${userspace[@]}"
      want_reboot 'the newest kernel brings the driver'
    fi
    reason="$meta is for kernel $brought, but $newest boots. $reason"
  done
  die "apt can install no NVIDIA module for kernel $kernel or a newer one. Ubuntu's archive may" \
    "be between two drivers: try again in some hours, or take an image with a driver (image=dlami)." \
    "apt: $reason"
}

# kernel_of META PLAN: print the kernel whose module the meta package installs, or has installed.
kernel_of() {
  local installed
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  installed=$(dpkg-query -W -f '${Depends}' "$1" 2>/dev/null) || true
  { grep -oE "$modules-[0-9][^ ,]*" <<<"$2"$'\n'"$installed" || true; } | sort -V | tail -n 1 |
    sed "s/^$modules-//"
}

# newest_kernel KERNEL...: print the newest of these, the running and the installed kernels, which
# the boot loader starts.
newest_kernel() {
  {
    printf '%s\n' "$kernel" "$@"
    # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'linux-image-*' 2>/dev/null |
      sed -nE 's/^installed linux-image-(unsigned-)?([0-9])/\2/p' || true
  } | sort -V | tail -n 1
}

# release: print the release, e.g. 22.04, as in the names of HWE kernels' meta packages.
release() {
  sed -nE 's/^VERSION_ID="?([^"]*)"?$/\1/p' "$root/etc/os-release" 2>/dev/null || true
}

# free_gpu: request a reboot, because nvidia cannot load while nouveau holds the GPU. The driver's
# packages keep nouveau from loading at the next boot.
free_gpu() {
  if was_rebooted; then
    die 'the driver nouveau (or nova) still holds the GPU after a reboot: keep it from loading,' \
      'in /etc/modprobe.d and on the kernel command line'
  fi
  want_reboot 'the driver nouveau (or nova) holds the GPU, and does not load again after a reboot'
}

# require_driver: print the version of the installed driver, or end the phase if it does not work.
# The loaded module may still be that of the previous driver.
require_driver() {
  local current kind
  current=$(driver_state)
  case $current in
    'works '*) printf '%s\n' "${current#* }" ;;
    'hangs '*) die "${current#* }: $(hang_remedy)" ;;
    'reboot '*) reboot_or_die "${current#* }" ;;
    *)
      kind=$(loaded_kind)
      if [[ -n $kind && $kind != "$driver_kind" ]]; then
        reboot_or_die "NVIDIA's $kind kernel module is loaded, and this GPU needs the" \
          "$driver_kind one"
      fi
      die "nvidia-smi does not see a GPU after the driver was installed: ${current#* }"
      ;;
  esac
}

# reboot_or_die REASON...: request the one reboot; die if it has happened already.
reboot_or_die() {
  ! was_rebooted || die "$*: a reboot did not help; $(hang_remedy)"
  want_reboot "$*"
}

# fabric_manager_version: print the version of the installed package, which has several possible
# names; nothing if none is installed.
fabric_manager_version() {
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' 'nvidia-fabricmanager*' \
    2>/dev/null | awk '$1 == "installed" && $2 ~ /^nvidia-fabricmanager(-[0-9]+)?$/ { print $3 }' |
    sed 's/-[^-]*$//' | head -n 1 || true
}

# install_fabric_manager VERSION: install the fabric manager of exactly the driver's version,
# because it refuses to work with any other. Ubuntu's package has the driver's branch in its name;
# that of NVIDIA's archive has not since branch 580.
install_fabric_manager() {
  local package version active='' names=("nvidia-fabricmanager-${1%%.*}" nvidia-fabricmanager)
  if attempt systemctl is-active --quiet nvidia-fabricmanager.service; then
    active=1
    [[ $(fabric_manager_version) != "$1" ]] || return 0
  fi
  # An image with a driver has no package lists, or outdated ones.
  apt_update
  for package in "${names[@]}"; do
    version=$(apt-cache madison "$package" | awk -F '[ |]+' -v want="$1-" \
      'index($3, want) == 1 { print $3; exit }')
    [[ -z $version ]] || break
  done
  if [[ -z $version ]]; then
    die "the archive has no ${names[0]} of version $1, which the NVSwitches of this type need and" \
      "which must be the driver's own: take an image without a driver, or install that package"
  fi
  apt_install "${past_holds[@]}" "$package=$version"
  run_within "$load_seconds" systemctl enable --now nvidia-fabricmanager.service
  if [[ -n $active ]]; then
    run_within "$load_seconds" systemctl restart nvidia-fabricmanager.service
  fi
}

# hold_packages: put the kernel and the driver on hold. Other packages with NVIDIA in their name
# still get security updates.
hold_packages() {
  local held others='(container|docker|cuda|settings|prime|texture-tools|profiler|visual-profiler)'
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  held=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' \
    'linux-image-*' 'linux-headers-*' 'linux-modules-*' "linux-$flavor*" \
    '*nvidia*' 2>/dev/null |
    awk -v others="^(lib)?nvidia-$others" '$1 == "installed" && $2 !~ others { print $2 }') || true
  if [[ -n $held ]]; then
    # shellcheck disable=SC2086  # one name per line
    retry apt-mark hold $held
  fi
}

# cover_newest_kernel: install the module for the kernel of the next boot as well, which unattended
# upgrades may have installed before they were configured.
cover_newest_kernel() {
  local newest planned
  newest=$(newest_kernel)
  # Another driver, like that of a Deep Learning AMI, has its own packages for that.
  if is_installed "$modules-$newest" || ! is_installed "$modules-$kernel"; then
    return
  fi
  apt_update
  if planned=$(plan "$modules-$newest"); then
    apt_install "${past_holds[@]}" "$modules-$newest"
  else
    warn "kernel $newest boots next and has no NVIDIA module: $(reason_of "$planned")"
  fi
}

current=$(driver_state)
case $current in
  'works '*) log "a driver works already: ${current#* }" ;;
  'hangs '*) die "${current#* }: $(hang_remedy)" ;;
  'odd '*) die "${current#* }: repair or remove that driver, then run this again" ;;
  # If module and library still differ after the reboot, the module was never installed.
  'reboot '*) if was_rebooted; then install_driver; else want_reboot "${current#* }"; fi ;;
  *) install_driver ;;
esac
version=$(require_driver)
require_fit "$version"
if [[ $fabric_manager == true ]]; then
  install_fabric_manager "$version"
fi
mkdir -p "$root/etc/modules-load.d"
printf '%s\n' nvidia nvidia_uvm >"$root/etc/modules-load.d/gpustation.conf"
cover_newest_kernel
hold_packages
fact "driver $version with kernel $kernel"
