# shellcheck shell=bash
# Jupyter's token. Sourced after record.sh, never run.

# In root's folder: the person can read the file, but cannot replace it by a link.
# shellcheck disable=SC2034,SC2154  # read by phases; variables of record.sh
token_file="$state/jupyter-token"

# make_token: write a new token that only the person can read.
make_token() {
  # shellcheck disable=SC2154  # variables of record.sh
  (
    umask 077
    # Without a newline, because Jupyter uses the whole file as the token.
    python3 -I -c 'import secrets; print(secrets.token_hex(24), end="")' >"$token_file.new"
  )
  chown "$user:" "$token_file.new"
  mv "$token_file.new" "$token_file"
}
