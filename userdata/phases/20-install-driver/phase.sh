# Installs the NVIDIA driver as Canonical's prebuilt, signed module for the running kernel.
#
# An image that brings a working driver (a Deep Learning or a baked one) keeps it if it fits the
# framework and the GPUs. Otherwise no reboot is needed while apt can install the module for the
# running kernel. If it cannot, the meta package brings the newest kernel with its module, and the
# runner reboots once. A driver that only a reboot cures gets one, too.
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
# The packages that an earlier run has put on hold may have to change with the kernel.
past_holds=(--ignore-hold --allow-change-held-packages)

# plan PACKAGE...: what apt would do for it; status 100, with apt's reason, if it cannot. That a
# package is in the archive does not suffice: a module is bound to one version of the driver, and
# stays in the archive when the driver there is a newer one.
plan() {
  LC_ALL=C apt-get -s -q -y --no-install-recommends "${past_holds[@]}" install "$@" 2>&1
}

# reason_of PLAN: in one line, why apt cannot.
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

# take_newest_kernel REASON: install the newest kernel with its module and end for a reboot. REASON
# is why the running kernel's module cannot be installed.
take_newest_kernel() {
  local meta planned brought newest why=$1
  if was_rebooted; then
    die "no NVIDIA module can be installed for kernel $kernel, which runs after the reboot too: $why"
  fi
  log "apt cannot install $modules-$kernel; taking the newest kernel and its module: $why"
  for meta in "$modules-$flavor" "$modules-$flavor-hwe-$(release)"; do
    if ! planned=$(plan "$meta" "${userspace[@]}"); then
      why="$(reason_of "$planned") $why"
      continue
    fi
    brought=$(kernel_of "$meta" "$planned")
    newest=$(newest_kernel "$brought")
    # The meta package of an older series is no help.
    if [[ $newest == "$brought" ]]; then
      apt_install "${past_holds[@]}" "$meta" "${userspace[@]}"
      want_reboot 'the newest kernel brings the driver'
    fi
    why="$meta is for kernel $brought, but $newest boots. $why"
  done
  die "apt can install no NVIDIA module for kernel $kernel or a newer one. Ubuntu's archive may be" \
    "between two drivers: try again in some hours, or take an image with a driver (image=dlami)." \
    "apt: $why"
}

# kernel_of META PLAN: the kernel whose module the meta package brings, or has brought before.
kernel_of() {
  local installed
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  installed=$(dpkg-query -W -f '${Depends}' "$1" 2>/dev/null) || true
  { grep -oE "$modules-[0-9][^ ,]*" <<<"$2"$'\n'"$installed" || true; } | sort -V | tail -n 1 |
    sed "s/^$modules-//"
}

# newest_kernel KERNEL...: the newest of these, the running and the installed ones, which is what
# the boot loader takes.
newest_kernel() {
  {
    printf '%s\n' "$kernel" "$@"
    # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'linux-image-*' 2>/dev/null |
      sed -nE 's/^installed linux-image-(unsigned-)?([0-9])/\2/p' || true
  } | sort -V | tail -n 1
}

# release: like 22.04, as in the names of HWE kernels' meta packages.
release() {
  sed -nE 's/^VERSION_ID="?([^"]*)"?$/\1/p' "$root/etc/os-release" 2>/dev/null || true
}

# The driver's packages keep nouveau from loading at the next boot; while it holds the GPU, nvidia
# cannot load.
free_gpu() {
  if was_rebooted; then
    die 'the driver nouveau (or nova) still holds the GPU after a reboot: keep it from loading, in' \
      '/etc/modprobe.d and on the kernel command line'
  fi
  want_reboot 'the driver nouveau (or nova) holds the GPU, and does not load again after a reboot'
}

# require_driver: the version of the driver, which was installed. What is loaded may still be the
# one before it.
require_driver() {
  local found kind
  found=$(driver_state)
  case $found in
    'works '*) printf '%s\n' "${found#* }" ;;
    'hangs '*) die "${found#* }: $(hang_remedy)" ;;
    'reboot '*) reboot_or_die "${found#* }" ;;
    *)
      kind=$(loaded_kind)
      if [[ -n $kind && $kind != "$driver_kind" ]]; then
        reboot_or_die "NVIDIA's $kind kernel module is loaded, and this GPU needs the $driver_kind one"
      fi
      die "nvidia-smi does not see a GPU after the driver was installed: ${found#* }"
      ;;
  esac
}

# reboot_or_die WHY: ask for the one reboot; without effect it is the end.
reboot_or_die() {
  ! was_rebooted || die "$1: a reboot did not help; $(hang_remedy)"
  want_reboot "$1"
}

# fabric_manager_version: that of the package that is installed, under any of its names, or nothing.
fabric_manager_version() {
  # shellcheck disable=SC2016  # the format is dpkg's, not the shell's
  dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\n' 'nvidia-fabricmanager*' \
    2>/dev/null | awk '$1 == "installed" && $2 ~ /^nvidia-fabricmanager(-[0-9]+)?$/ { print $3 }' |
    sed 's/-[^-]*$//' | head -n 1 || true
}

# The fabric manager refuses to work with any other version than the driver's own. Ubuntu names the
# package after the driver's branch, NVIDIA's archive since branch 580 no longer.
install_fabric_manager() {
  local package version active='' names=("nvidia-fabricmanager-${1%%.*}" nvidia-fabricmanager)
  if attempt systemctl is-active --quiet nvidia-fabricmanager.service; then
    active=1
    [[ $(fabric_manager_version) != "$1" ]] || return 0
  fi
  # An image with a driver has no package lists, or old ones.
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

# What only has NVIDIA in its name goes on to get its security updates.
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

# A newer kernel that unattended upgrades brought before they were kept from it boots next time: it
# gets the module as well.
cover_newest_kernel() {
  local newest planned
  newest=$(newest_kernel)
  # With another driver, like that of a Deep Learning image, its own packages see to that.
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

found=$(driver_state)
case $found in
  'works '*) log "a driver works already: ${found#* }" ;;
  'hangs '*) die "${found#* }: $(hang_remedy)" ;;
  'odd '*) die "${found#* }: repair or remove that driver, then run this again" ;;
  # A module that does not fit its library after a reboot either was never installed.
  'reboot '*) if was_rebooted; then install_driver; else want_reboot "${found#* }"; fi ;;
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
