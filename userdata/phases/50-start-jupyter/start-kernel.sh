#!/usr/bin/env bash
# Starts a notebook's kernel in the person's own environment, so that %pip installs into it.
#
# Runs as the person. Creates the environment if it is missing. If that fails, the kernel runs in
# root's environment: everything works but %pip.
env=$1 framework=$2 constraints=$3
shift 3
python="$HOME/.local/share/gpustation/env/bin/python"
if [[ ! -x $python ]]; then
  (cd && python3 -I "$(dirname "${BASH_SOURCE[0]}")/../../home/personal_environment.py" \
    "$env" "$framework" "$constraints") >&2
fi
[[ -x $python ]] || python="$env/bin/python"
# For !pip, !python3 and %%bash, which run as commands outside of the kernel.
export PATH="${python%/*}:$env/bin:$PATH"
exec "$python" -m ipykernel_launcher "$@"
