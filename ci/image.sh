#!/usr/bin/env bash
# Bakes and tests the image, and shows its id and parameter.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

# The one stack of this stage, whatever name the settings give it
cdk deploy 'Image/*' --require-approval never --progress events "${context[@]}" \
  --output "$assembly" --outputs-file "$assembly/outputs.json"
python ci/outputs_table.py "$assembly/outputs.json" | summary
