# shellcheck shell=bash
# Work in people's home folders. Sourced after common.sh, never run.
#
# The owner of a folder can put a link, a FIFO or a folder in any place of it, and exchange it at any
# moment. So root neither reads nor changes anything there: the owner's own rights do it.

# Seconds for one command in a home folder: a network file system may hang, a FIFO waits for ever.
home_seconds=20
# The end of what the last command in a home folder printed, in one line of plain characters.
owner_said=

# as_owner FOLDER COMMAND...: run a command in a home folder with its owner's rights, an empty
# environment and a time limit. Standard input is passed on. Returns the command's exit status.
# shellcheck disable=SC2154  # of common.sh
as_owner() {
  local folder=$1 ids uid gid said status=0
  local -a drop=()
  shift
  owner_said="$folder is not there"
  ids=$(stat -Lc '%u %g' -- "$folder" 2>/dev/null) || return 1
  read -r uid gid <<<"$ids"
  if ((EUID == 0)); then
    owner_said="$folder belongs to root"
    ((uid != 0)) || [[ $folder == "$root/root" ]] || return 1
    drop=(setpriv "--reuid=$uid" "--regid=$gid" --clear-groups --no-new-privs)
    drop+=(--inh-caps=-all --bounding-set=-all)
  fi
  # A file: whoever reads a pipe waits until the last process of the owner's has closed it.
  said=$(mktemp "$state/said.XXXXXX") || return 1
  (
    cd -- "$folder" &&
      exec timeout --kill-after=2 "$home_seconds" "${drop[@]}" env -i HOME="$folder" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
  ) >"$said" 2>&1 || status=$?
  owner_said=$(tail -c 500 -- "$said" | LC_ALL=C tr -c '[:print:]' '[ *]')
  read -r owner_said <<<"$owner_said" || true
  rm -f -- "$said"
  ((status != 124 && status != 137)) || owner_said="nothing came of it within $home_seconds s"
  return "$status"
}
