# Prepares the machine for the person: an environment of their own on top of root's, where pip
# installs packages; both on the PATH of their shells; and a message at login about what is
# installed and what the machine costs.
#
# The machine is ready without it, so a failure is only a warning.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../home/as_owner.sh"

framework=$(setting framework)
# Seconds; pip is unpacked, on the new disk of an image (estimate).
home_seconds=120

# The lines in the shells' files are written only once, so a person can remove them for good.
shells_of="$state/shells-of"
login_shell=$(getent passwd "$user" | cut -d: -f7) || true
login_shell=${login_shell##*/}
# With the revision of the lines.
written_for="1 $home ${login_shell:=bash}"

give_environment() {
  local -a shell=()
  # Jupyter cannot start either, and phase 50-start-jupyter reports that.
  if ! as_owner "$home" test -x "$env/bin/python"; then
    log "$user cannot enter $env: $owner_output"
    return
  fi
  if [[ ! -e $shells_of || $(<"$shells_of") != "$written_for" ]]; then
    shell=("$login_shell")
  fi
  if as_owner "$home" python3 -I "$scripts/home/personal_environment.py" "$env" "$framework" \
    "$opt/scripts/locks/$framework-constraints.txt" "${shell[@]}"; then
    printf '%s\n' "$written_for" >"$shells_of"
  else
    warn "$user has no environment of their own, for pip and the shell: $owner_output"
  fi
}

# price: print the machine's price per hour; nothing if the stack does not know it.
price() {
  local usd
  usd=$(setting usd_per_hour)
  if [[ $usd =~ ^[0-9.]+$ ]]; then
    printf ', %s, %s USD per hour (%s)' "$(setting instance_type)" "$usd" "$(setting price_of)"
  fi
}

# notice: print the message at login.
notice() {
  local has
  has=$(cat "$state/facts/environment" 2>/dev/null) || has=$framework
  printf 'gpustation: %s%s\n' "$has" "$(price)"
  # shellcheck disable=SC2088  # text for the person, as below
  line 'python3' 'computes with it, in the environment ~/.local/share/gpustation/env'
  line 'pip install NAME' 'adds packages, which outlast a reboot'
  line gpustation-jupyter-url 'prints the address of Jupyter, which runs'
  # shellcheck disable=SC2088
  line '~/gpu-starter.ipynb' 'the first notebook'
  if [[ $(setting notebooks) == true ]]; then
    # shellcheck disable=SC2088
    line '~/d2l' "the book's"
  fi
  if of_a_stack; then
    line 'sudo poweroff' 'stops the machine and its bill; its disk stays, and costs'
  fi
}

line() {
  printf '  %-22s  %s\n' "$1" "$2"
}

place() {
  mkdir -p "$root/etc/motd.d" "$root/usr/local/bin"
  notice >"$root/etc/motd.d/gpustation"
  sed -e "s|@USER@|$user|g" "$here/gpustation-shell" >"$root/usr/local/bin/gpustation-shell"
  chmod 0755 "$root/usr/local/bin/gpustation-shell"
}

# place_training: install the unit that runs a program of the home folder at each boot, for those
# whom the person enables it for.
place_training() {
  local unit='gpustation-training@.service' target=multi-user.target
  ! of_a_stack || target=cloud-init.target
  local blanks=(-e "s|@OPT@|$opt|g" -e "s|@HOME@|$home|g" -e "s|@USER@|$user|g"
    -e "s|@ROOT@|$root|g" -e "s|@TARGET@|$target|g")
  mkdir -p "$root/etc/systemd/system"
  sed "${blanks[@]}" "$here/$unit" >"$root/etc/systemd/system/$unit"
}

give_environment
place
place_training
