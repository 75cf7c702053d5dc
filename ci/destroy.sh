#!/usr/bin/env bash
# Destroys the stack whose name a person typed into CONFIRM.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

case ${CONFIRM:-} in
  GpuWorkstation) stack=GpuWorkstation ;;
  GpuImage) stack=Image/GpuImage ;;
  *) fail "CONFIRM=${CONFIRM@Q}: type the stack's name, GpuWorkstation or GpuImage" ;;
esac

cdk destroy "$stack" --force --output "$assembly"
echo "$CONFIRM is destroyed." | summary
