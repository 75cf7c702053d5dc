#!/usr/bin/env bash
# Deploys the cloud assembly that plan.sh checked, without asking, and shows the outputs.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

cdk deploy --app "$assembly" --require-approval never --progress events \
  --outputs-file "$assembly/outputs.json"
python ci/outputs_table.py "$assembly/outputs.json" | summary
