#!/usr/bin/env bash
# Lets root alone ask the instance metadata service, which gives out the role's credentials and, in
# the user data, the addresses that report in this machine's name.
#
# A table of our own: it matches the service's two addresses and nothing else, so time and names
# (169.254.169.123 and .253) stay as they are. Run again, it replaces what was there.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

command -v nft >/dev/null || die 'there is no nft'
settings=
# Not there yet on a machine that somebody started from an image
if [[ -e $state/settings.json ]]; then
  settings=$(python3 -I "$scripts/runner/settings.py" list)
fi
if [[ $'\n'$settings$'\n' == *$'\nrole_credentials_for_users=true\n'* ]]; then
  table=
else
  allowed=0
  # Looks up the keys of EC2 Instance Connect at every login
  if uid=$(id -u ec2-instance-connect 2>/dev/null); then
    allowed+=", $uid"
  fi
  table="table inet gpustation {
    chain output {
      type filter hook output priority filter; policy accept;
      ip daddr 169.254.169.254 meta skuid != { $allowed } reject
      ip6 daddr fd00:ec2::254 meta skuid != { $allowed } reject
    }
  }"
fi
# One transaction. The first line makes the table, so that the second finds it.
run nft -f - <<EOF
table inet gpustation
delete table inet gpustation
$table
EOF
