# shellcheck shell=bash
# Jupyter's token. Sourced after common.sh, never run.
#
# In root's folder, where its owner can read it but put nothing else in its place.

# shellcheck disable=SC2034,SC2154  # read by phases; of common.sh
token_file="$state/jupyter-token"

# make_token: a new token, for the person's eyes only.
make_token() {
  # shellcheck disable=SC2154  # of common.sh
  (
    umask 077
    # Without a line end: Jupyter takes the whole file for the token.
    python3 -I -c 'import secrets; print(secrets.token_hex(24), end="")' >"$token_file.new"
  )
  chown "$user:" "$token_file.new"
  mv "$token_file.new" "$token_file"
}
