# Restarts the SSM agent if it sleeps because AWS refused it: a role's permissions take some seconds
# to work everywhere, and after one refusal the agent tries again half an hour later. With no inbound
# rule nobody could log in until then.
#
# The agent's own log tells, because an instance with a role has no registration file of its own:
# "Credentials ready" after success, "Sleeping for 25m42s before retrying retrieve credentials" after
# a refusal (amazon-ssm-agent, core/app/credentialrefresher), and in versions before 3.2 "Entering SSM
# Agent hibernate".
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../../runner/record.sh"

# Seconds for the agent to connect after its restart; it takes two or three (estimate).
agent_seconds=${GPUSTATION_AGENT_SECONDS:-20}

# last_word UNIT: the newest of these lines in this boot's journal.
last_word() {
  journalctl --unit="$1" --boot --output=cat --no-pager |
    grep -E 'Credentials ready|Sleeping for [^ ]*[hm][^ ]* before retrying|Entering SSM Agent hibernate' |
    tail -n 1 || true
}

sleeps() {
  [[ $(last_word "$1") == *Sleeping* || $(last_word "$1") == *hibernate* ]]
}

# Ubuntu's images have the snap, a Deep Learning image or a person the package.
for unit in snap.amazon-ssm-agent.amazon-ssm-agent.service amazon-ssm-agent.service; do
  if ! systemctl is-active --quiet "$unit" || ! sleeps "$unit"; then
    continue
  fi
  log "the SSM agent sleeps after AWS refused it: $(last_word "$unit")"
  run systemctl restart "$unit"
  for ((waited = 0; waited < agent_seconds; waited++)); do
    sleep 1
    if [[ $(last_word "$unit") == *'Credentials ready'* ]]; then
      log 'the SSM agent is connected'
      break
    fi
  done
  if sleeps "$unit"; then
    warn "the SSM agent is refused by AWS, so Session Manager does not reach this machine:" \
      "$(last_word "$unit"); see journalctl -u $unit"
  fi
done
