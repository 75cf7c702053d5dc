# shellcheck shell=bash
# Jupyter's token. Sourced after common.sh, never run.

# shellcheck disable=SC2034,SC2154  # read by phases; of common.sh
token_file="$home/.config/gpustation/jupyter-token"

# make_token FILE: a new token, for its owner's eyes only; the file's owner stays who it was.
make_token() {
  (
    umask 077
    # Without a line end: Jupyter takes the whole file for the token.
    python3 -c 'import secrets; print(secrets.token_hex(24), end="")' >"$1.new"
  )
  if [[ -e $1 ]]; then
    chown --reference="$1" "$1.new"
  fi
  mv "$1.new" "$1"
}
