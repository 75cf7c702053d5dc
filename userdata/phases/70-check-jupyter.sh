# Waits until Jupyter, which an earlier phase started, answers to its token and to nothing else.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../lib/token.sh"

run "$env/bin/python" -I "$scripts/lib/await_jupyter.py" gpustation-jupyter.service \
  "$(setting jupyter_port)" "$token_file"
