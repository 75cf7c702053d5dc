# Waits until Jupyter, which phase 50-start-jupyter started, accepts its token, and nothing else.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../identity/token.sh"

run "$env/bin/python" -I "$here/await_jupyter.py" gpustation-jupyter.service \
  "$(setting jupyter_port)" "$token_file"
