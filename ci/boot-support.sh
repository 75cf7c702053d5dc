#!/usr/bin/env bash
# Lets a throw-away Ubuntu machine of a CI boot the test machines, whose root is of Debian 12.
# Never run it on a computer that you keep: its apt sources then name Debian.
set -euo pipefail
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install \
  mmdebstrap slirp4netns debian-archive-keyring
cat >/etc/apt/sources.list.d/debian.sources <<'END'
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
