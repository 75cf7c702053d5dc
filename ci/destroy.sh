#!/usr/bin/env bash
# Destroys the stack whose name a person typed into CONFIRM.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

case ${CONFIRM:-} in
  GpuWorkstation | GpuImage) name='' ;;
  GpuWorkstation-?* | GpuImage-?*) name=${CONFIRM#*-} ;;
  *) fail "CONFIRM=${CONFIRM@Q}: type the stack's name: GpuWorkstation or GpuImage, and -<name> behind it if it has one" ;;
esac
stack=$CONFIRM
[[ $stack != GpuImage* ]] || stack=Image/$stack
# Always given, so that no name of cdk.json stands for what was typed
cdk destroy "$stack" --force --output "$assembly" --context="name=$name"
echo "$CONFIRM is destroyed." | summary
