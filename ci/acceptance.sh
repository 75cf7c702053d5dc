#!/usr/bin/env bash
# Runs the acceptance on AWS, in the account whose id is ACCOUNT and in no other. TYPE, FRAMEWORK,
# LIMIT (in USD) and QUICK (true or false) are options of the program; empty ones are not passed.
# The evidence of a run without a failure is written to build/acceptance/evidence/, the logs, with the
# evidence of any other run, to build/acceptance/logs/.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

account=${ACCOUNT:-} options=()
[[ $account =~ ^[0-9]{12}$ ]] ||
  fail "ACCOUNT=${account@Q} is no account's id; type the 12 digits of the account meant for acceptance, or set the variable ACCEPTANCE_ACCOUNT"
here=$(python -c 'import boto3; print(boto3.client("sts").get_caller_identity()["Account"])')
[[ $here == "$account" ]] ||
  fail "ACCOUNT=$account, but the role's session is of the account $here; nothing was made. Set ACCEPTANCE_ROLE_ARN to the role of $account"

[[ -z ${TYPE:-} ]] || options+=("--type=$TYPE")
[[ -z ${FRAMEWORK:-} ]] || options+=("--framework=$FRAMEWORK")
[[ -z ${LIMIT:-} ]] || options+=("--limit=$LIMIT")
case ${QUICK:-} in
  true) options+=(--quick) ;;
  false | '') ;;
  *) fail "QUICK=${QUICK@Q} is neither true nor false" ;;
esac

status=0
python -m acceptance --yes "${options[@]}" \
  --evidence=build/acceptance/evidence --logs=build/acceptance/logs || status=$?
case $status in
  0) said='all was shown, or left out for the reason in the evidence' ;;
  1) said='something failed: see the logs' ;;
  3) said='no access: a permission of the role is missing' ;;
  4) said='no quota or no capacity' ;;
  *) said='the program failed' ;;
esac
printf 'Acceptance: %s (exit status %d).\n' "$said" "$status" | summary
exit "$status"
