#!/usr/bin/env bash
# Destroys one stack. CONFIRM is its name, as typed by a person.
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
# Always passed, also when empty: otherwise a name in cdk.json would select another stack
cdk destroy "$stack" --force --output "$assembly" --context="name=$name"
echo "$CONFIRM is destroyed." | summary
