# On a machine of an image, reads in the background the files that importing the framework needs: a
# new EBS volume fetches each block from the snapshot at its first read, at a few MiB per second and
# reader.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"

# A machine that installed its own environment has written every block of it, and needs no warming.
if [[ -e $state/loaded-files && ! -e $state/seconds/environment && ! -e $state/warmed ]]; then
  # At the lowest priority, so that it does not slow down the person or a phase.
  run systemd-run --quiet --collect --unit=gpustation-warm --property=CPUWeight=1 \
    --property=CPUSchedulingPolicy=idle --property=IOSchedulingClass=idle \
    bash "$here/warm-files.sh" ||
    log 'warning: the files of the framework are not read in advance'
  touch "$state/warmed"
fi
