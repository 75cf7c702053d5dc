#!/usr/bin/env bash
# Builds and tests the image, and shows its id and parameter.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

# Image/* is the only stack of this stage, whatever its name
cdk deploy 'Image/*' --require-approval never --progress events "${context[@]}" \
  --output "$assembly" --outputs-file "$assembly/outputs.json"
python ci/outputs_table.py "$assembly/outputs.json" | summary
