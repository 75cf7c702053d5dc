#!/usr/bin/env bash
# Installs what an Ubuntu runner needs to boot the test machines, whose roots are Debian: mmdebstrap
# downloads from Debian's archive, and debian-archive-keyring has the keys to verify it.
set -euo pipefail
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
  mmdebstrap slirp4netns debian-archive-keyring
