# Restarts the SSM agent if it sleeps after AWS refused its request: a new role's permissions take
# some seconds to take effect, and after a refusal the agent retries only half an hour later.
# Without an inbound rule nobody could log in until then.
#
# The agent's log is the only sign of it, because an instance with a role has no registration file:
# "Credentials ready" after success, "Sleeping for 25m42s before retrying retrieve credentials"
# after a refusal (amazon-ssm-agent, core/app/credentialrefresher), and in versions before 3.2
# "Entering SSM Agent hibernate".
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

# Seconds that the agent may take to connect after its restart; it needs two or three (estimate).
agent_seconds=${GPUSTATION_AGENT_SECONDS:-20}

# last_message UNIT: print the newest of these lines in the journal of this boot.
last_message() {
  journalctl --unit="$1" --boot --output=cat --no-pager |
    grep -E 'Credentials ready|Sleeping for [^ ]*[hm][^ ]* before retrying|Entering SSM Agent hibernate' |
    tail -n 1 || true
}

sleeps() {
  [[ $(last_message "$1") == *Sleeping* || $(last_message "$1") == *hibernate* ]]
}

# Ubuntu's images have the snap; a Deep Learning AMI, or a person, installs the package.
for unit in snap.amazon-ssm-agent.amazon-ssm-agent.service amazon-ssm-agent.service; do
  if ! systemctl is-active --quiet "$unit" || ! sleeps "$unit"; then
    continue
  fi
  log "the SSM agent sleeps after AWS refused it: $(last_message "$unit")"
  run systemctl restart "$unit"
  for ((waited = 0; waited < agent_seconds; waited++)); do
    sleep 1
    if [[ $(last_message "$unit") == *'Credentials ready'* ]]; then
      log 'the SSM agent is connected'
      break
    fi
  done
  if sleeps "$unit"; then
    warn "the SSM agent is refused by AWS, so Session Manager does not reach this machine:" \
      "$(last_message "$unit"); see journalctl -u $unit"
  fi
done
