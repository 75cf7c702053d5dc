#!/usr/bin/env bash
# Process 1 of a new machine: mounts its disk and file systems, then becomes systemd.
#
# Usage: enter.sh LOWER[:LOWER...] DISK [LOOP...], inside fresh namespaces, the topmost layer first;
# waits for a line on standard input, which says that the network is there. Each loop device becomes
# a disk of the instance store. All mounts end with the mount namespace.
set -euo pipefail

lower=$1
disk=$2
shift 2
new="$disk/merged"
read -r _

mkdir -p "$disk/upper" "$new"
# A work directory of an earlier boot is refused.
rm -rf "$disk/work"
mkdir "$disk/work"
mount -t overlay machine -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" "$new"
mount -t proc -o nosuid,nodev,noexec proc "$new/proc"
mount --bind "$new/proc/sys" "$new/proc/sys"
mount -o remount,ro,bind "$new/proc/sys"
# Two boots with one id would be one in the journal.
cat /proc/sys/kernel/random/uuid >"$disk/boot_id"
mount --bind "$disk/boot_id" "$new/proc/sys/kernel/random/boot_id"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$new/sys"
if (($#)); then
  # Over /sys, in which nothing can be made: what it says of the NVMe disks.
  rm -rf "$disk/block-work"
  mkdir "$disk/block-work"
  mount -t overlay block \
    -o "lowerdir=$new/sys/block,upperdir=$disk/block,workdir=$disk/block-work" "$new/sys/block"
fi
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$new/sys/fs/cgroup"
# The host's firmware would tell that this is no EC2 machine.
if [[ -d "$new/sys/class/dmi/id" ]]; then
  mount -t tmpfs -o ro tmpfs "$new/sys/class/dmi/id"
fi
mount -t tmpfs -o nosuid,mode=755 tmpfs "$new/run"
mount -t tmpfs -o nosuid,nodev tmpfs "$new/tmp"
mount -t tmpfs -o nosuid,mode=755 tmpfs "$new/dev"
mkdir "$new/dev/pts" "$new/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$new/dev/pts"
mount -t tmpfs -o nosuid,nodev tmpfs "$new/dev/shm"
ln -s pts/ptmx "$new/dev/ptmx"
ln -s /proc/self/fd "$new/dev/fd"
for device in null zero full random urandom tty; do
  touch "$new/dev/$device"
  mount --bind "/dev/$device" "$new/dev/$device"
done
if [[ -e /dev/btrfs-control ]]; then
  touch "$new/dev/btrfs-control"
  mount --bind /dev/btrfs-control "$new/dev/btrfs-control"
fi
number=0
for device in "$@"; do
  number=$((number + 1))
  touch "$new/dev/nvme${number}n1"
  mount --bind "$device" "$new/dev/nvme${number}n1"
done
touch "$disk/console" "$new/dev/console"
mount --bind "$disk/console" "$new/dev/console"

cd "$new"
pivot_root . .
umount -l .
# As systemd does on a machine; it takes this for a container, and would leave that to its manager.
mount --make-rshared /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /sbin/init </dev/null >>/dev/console 2>&1
