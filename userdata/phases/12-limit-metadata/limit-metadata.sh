#!/usr/bin/env bash
# Blocks the instance metadata service for all users but root: it returns the role's credentials
# and, in the user data, the signal addresses, with which anybody could report for this machine.
#
# The nftables table is our own. It matches only the service's two addresses, so time and DNS
# (169.254.169.123 and .253) are not affected. A second run replaces the table.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

command -v nft >/dev/null || die 'there is no nft'
settings=
# The file does not exist yet at the first boot of a machine of a saved image.
if [[ -e $state/settings.json ]]; then
  settings=$(python3 -I "$scripts/runner/settings.py" list)
fi
if [[ $'\n'$settings$'\n' == *$'\nrole_credentials_for_users=true\n'* ]]; then
  table=
else
  allowed=0
  # This user looks up the keys of EC2 Instance Connect at every login.
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
# One transaction. The first line creates the table, because deleting a missing table would fail.
run nft -f - <<EOF
table inet gpustation
delete table inet gpustation
$table
EOF
