#!/usr/bin/env bash
# Starts a notebook's kernel in the person's own environment, so that %pip installs into it.
#
# Runs as the person. Where the environment is missing it is made; where that fails, root's
# computes as well, and only %pip does not work.
env=$1 framework=$2 constraints=$3
shift 3
python="$HOME/.local/share/gpustation/env/bin/python"
if [[ ! -x $python ]]; then
  (cd && python3 -I "$(dirname "${BASH_SOURCE[0]}")/../../home/personal_environment.py" \
    "$env" "$framework" "$constraints") >&2
fi
[[ -x $python ]] || python="$env/bin/python"
# For !pip, !python3 and %%bash, which are no magics of the kernel's
export PATH="${python%/*}:$env/bin:$PATH"
exec "$python" -m ipykernel_launcher "$@"
