#!/usr/bin/env bash
# Lets an Ubuntu machine of a CI boot the test machines, whose root is of Debian 12: mmdebstrap knows
# Debian's archive, and the package with its keys makes it trust that.
set -euo pipefail
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
  mmdebstrap slirp4netns debian-archive-keyring
