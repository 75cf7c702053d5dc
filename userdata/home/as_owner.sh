# shellcheck shell=bash
# Runs commands in people's home folders. Sourced after record.sh, never run.
#
# The owner of a folder can put a link, a FIFO or a folder anywhere in it, and exchange it at any
# moment. So root neither reads nor changes anything there; commands run with the owner's rights.

# Seconds for one command in a home folder: a network file system may hang, and reading a FIFO may
# never end.
home_seconds=20
# The end of the last command's output, as one line of printable characters.
owner_output=

# as_owner FOLDER COMMAND...: run a command in a home folder with its owner's rights, an empty
# environment and a time limit. Standard input is passed on. Returns the command's exit status, and
# sets $owner_output.
# shellcheck disable=SC2154  # variables of record.sh
as_owner() {
  local folder=$1 ids uid gid output status=0
  local -a drop=()
  shift
  owner_output="$folder does not exist"
  ids=$(stat -Lc '%u %g' -- "$folder" 2>/dev/null) || return 1
  read -r uid gid <<<"$ids"
  if ((EUID == 0)); then
    owner_output="$folder belongs to root"
    ((uid != 0)) || [[ $folder == "$root/root" ]] || return 1
    drop=(setpriv "--reuid=$uid" "--regid=$gid" --clear-groups --no-new-privs)
    drop+=(--inh-caps=-all --bounding-set=-all)
  fi
  # A file, because reading from a pipe would end only when the owner's last process has closed it.
  output=$(mktemp "$state/output.XXXXXX") || return 1
  (
    cd -- "$folder" &&
      exec timeout --kill-after=2 "$home_seconds" "${drop[@]}" env -i HOME="$folder" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
  ) >"$output" 2>&1 || status=$?
  owner_output=$(tail -c 500 -- "$output" | LC_ALL=C tr -c '[:print:]' '[ *]')
  read -r owner_output <<<"$owner_output" || true
  rm -f -- "$output"
  ((status != 124 && status != 137)) || owner_output="it did not end within $home_seconds s"
  return "$status"
}
