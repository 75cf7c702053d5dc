# Formats the instance store and mounts it at /scratch: NVMe disks in the machine's host, which are
# fast, have no price of their own, and are blank after every stop. A reboot keeps them.
#
# The machine works without it, so a failure is only a warning. Why ext4 and btrfs, and which disks
# are left alone: docs/decisions/0019.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"

scratch="$root/scratch"
# Tells the idle stop and the report that the instance store is mounted there in this boot.
mounted="$root/run/gpustation/scratch"
# The UUID of the last file system, after the word "formatting" until it was mounted once: before
# that it holds nothing of anybody. Or "dlami".
noted="$state/scratch"
label=gpustation
options=nosuid,nodev,noatime
# An AWS Deep Learning AMI stripes the disks by LVM and mounts them here, for everybody to write.
dlami="$root/opt/dlami/nvme"
dlami_unit='dlami-nvme.service'
# Seconds that its unit may take: its own TimeoutStartSec is 300.
dlami_seconds=${GPUSTATION_DLAMI_SECONDS:-300}

# note TEXT: write $noted, so that it outlives a power cut.
note() {
  printf '%s\n' "$1" >"$noted.new"
  sync "$noted.new"
  mv "$noted.new" "$noted"
  sync "$state"
}

# is_mounted: succeeds if something is mounted at /scratch itself, not where a link leads.
is_mounted() {
  [[ ! -L $scratch ]] && mountpoint -q "$scratch"
}

# make_folder: make the folder that a file system is mounted at. What somebody has there is not
# hidden by it.
make_folder() {
  if [[ -L $scratch || (-e $scratch && ! -d $scratch) ]]; then
    warn "the instance store is not mounted: /scratch is not a folder; move it away and reboot"
    return 1
  fi
  mkdir -p "$scratch"
  if [[ -n $(find "$scratch" -mindepth 1 -print -quit) ]]; then
    warn "the instance store is not mounted: the folder /scratch on the root disk is not empty;" \
      "move away what is in it and reboot"
    return 1
  fi
}

# forget_folder: remove the folder of an earlier boot, unless somebody has something in it.
forget_folder() {
  if [[ -e $noted ]]; then
    rmdir "$scratch" 2>/dev/null || true
    rm -f "$noted"
  fi
}

# of_dlami: succeeds if the image mounts the disks by itself, once it has done so.
of_dlami() {
  local waited
  systemctl is-enabled --quiet "$dlami_unit" 2>/dev/null || return 1
  for ((waited = 0; waited < dlami_seconds; waited++)); do
    # Job: its start is queued.
    systemctl show --property=ActiveState,Job "$dlami_unit" |
      grep -qE '^(ActiveState=activating|Job=[1-9])' || return 0
    sleep 1
  done
}

bind_dlami() {
  if ! mountpoint -q "$dlami"; then
    warn "there is no /scratch: $dlami_unit, which mounts the instance store of this image, did" \
      "not; see journalctl -u $dlami_unit"
    return 1
  fi
  make_folder || return 1
  note dlami
  log "+ mount --bind $dlami $scratch"
  mount --bind "$dlami" "$scratch"
}

# mount_disks TYPE DEVICE...: mount the file system of these disks. Sets $output to what mount said.
mount_disks() {
  local kind=$1 all=$options device
  shift
  # Without these, btrfs would need the disks to be known from a scan.
  [[ $kind != btrfs ]] || for device in "$@"; do
    all+=",device=$device"
  done
  log "+ mount -t $kind -o $all $1 $scratch"
  output=$(mount -t "$kind" -o "$all" "$1" "$scratch" 2>&1)
}

# format TYPE DEVICE...: make one file system of blank disks. They come trimmed (EC2 user guide,
# "Instance store volume TRIM support"), so nothing is discarded. Without --force, both programs
# refuse a disk that is in use or has a file system. Sets $output to what they said.
format() {
  local kind=$1 uuid
  local -a command
  shift
  uuid=$(</proc/sys/kernel/random/uuid)
  if [[ $kind == btrfs ]]; then
    if ! command -v mkfs.btrfs >/dev/null &&
      ! output=$(GPUSTATION_RECORD='' bash "$here/install-btrfs.sh" 2>&1 | tee /dev/stderr); then
      return 1
    fi
    command=(mkfs.btrfs --quiet --nodiscard --data raid0 --metadata raid1)
    command+=(--label "$label" --uuid "$uuid" "$@")
  else
    # No blocks in reserve: they are for the system, which is not on it.
    command=(mkfs.ext4 -q -m 0 -E nodiscard -L "$label" -U "$uuid" "$1")
  fi
  note "formatting $uuid"
  log "+ ${command[*]}"
  output=$("${command[@]}" 2>&1 </dev/null)
}

# last_line TEXT: print the last line that is not empty, to be part of a warning.
last_line() {
  sed '/^[[:space:]]*$/d' <<<"$1" | tail -n 1
}

# mount_own: mount the file system that an earlier boot made. Disks that were never mounted since
# they were formatted become blank again.
mount_own() {
  local word uuid
  make_folder || return 1
  if mount_disks "$own_kind" "${own[@]}"; then
    return
  fi
  read -r word uuid < <(cat "$noted" 2>/dev/null) || true
  if [[ $word == formatting && $uuid == "$own_uuid" ]]; then
    log "formatting was interrupted: $(last_line "$output")"
    run wipefs --quiet --all "${own[@]}"
    blank+=("${own[@]}")
    own=()
    return
  fi
  warn "the instance store could not be mounted ($(last_line "$output")); to give up what is on" \
    "it: sudo wipefs --all ${own[*]}, then reboot"
  return 1
}

mount_blank() {
  local kind=ext4
  ((${#blank[@]} == 1)) || kind=btrfs
  make_folder || return 1
  if ! format "$kind" "${blank[@]}"; then
    warn "there is no /scratch: ${blank[*]} could not be formatted with $kind:" \
      "$(last_line "$output")"
    return 1
  fi
  if ! mount_disks "$kind" "${blank[@]}"; then
    warn "there is no /scratch: ${blank[*]} could not be mounted: $(last_line "$output")"
    return 1
  fi
}

# sort_disks: set $blank, $own, $own_kind and $own_uuid from the lines of find_disks.py.
sort_disks() {
  local device kind detail uuid known
  known=$(cat "$noted" 2>/dev/null) || known=
  while IFS=$'\t' read -r device kind detail; do
    case $kind in
      blank) blank+=("$device") ;;
      ours)
        uuid=${detail#* }
        # Two file systems of ours can be only by hand; the noted one counts.
        if [[ ${own_uuid:-$uuid} != "$uuid" && $known == *" $uuid" ]]; then
          own=()
        elif [[ ${own_uuid:-$uuid} != "$uuid" ]]; then
          log "$device is left alone: it has another file system with the label $label"
          continue
        fi
        own+=("$device") own_kind=${detail% *} own_uuid=$uuid
        ;;
      used) log "$device is left alone: $detail" ;;
      *)
        warn "$device of the instance store is left alone: $detail; to have it as /scratch:" \
          "sudo wipefs --all $device, then reboot"
        ;;
    esac
  done
}

mount_scratch() {
  local found output
  local -a blank=() own=()
  local own_kind='' own_uuid=''
  found=$(python3 -I "$here/find_disks.py")
  if [[ -z $found ]]; then
    forget_folder
    return 1
  fi
  if of_dlami; then
    bind_dlami
    return
  fi
  sort_disks <<<"$found"
  if ((${#own[@]})); then
    mount_own || return 1
  fi
  if ((${#own[@]} == 0)); then
    ((${#blank[@]})) || return 1
    mount_blank
  fi
}

# give_to_person: make the person the owner of a new file system, as closed to others as their home
# folder. Once only: they may open it to others.
give_to_person() {
  local mode
  mode=$(stat -Lc %a -- "$home" 2>/dev/null) || mode=750
  chown "$user:" "$scratch"
  chmod "$mode" "$scratch"
}

# size: print the size of the mounted file system in GiB, rounded.
size() {
  local blocks bytes
  read -r blocks bytes < <(stat --file-system --format='%b %S' "$scratch")
  echo "$(((blocks * bytes + (1 << 29)) >> 30)) GiB"
}

rm -f "$state/facts/$GPUSTATION_PHASE"
# install.sh formats no disks: what they are for is known only of the stack's machines.
of_a_stack || exit 0
if [[ ! -e $mounted ]] && is_mounted; then
  log "/scratch is left alone: something else is mounted there"
  exit 0
fi
if ! is_mounted; then
  rm -f "$mounted"
  if ! mount_scratch; then
    [[ ! -e $noted ]] || rmdir "$scratch" 2>/dev/null || true
    exit 0
  fi
fi
mkdir -p "${mounted%/*}"
touch "$mounted"
if [[ $(<"$noted") == 'formatting '* ]]; then
  give_to_person
  noted_before=$(<"$noted")
  note "ready ${noted_before#* }"
fi
fact "/scratch has $(size)"
