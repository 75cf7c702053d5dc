# On a machine from an image, reads in the background what the framework's import needs: blocks of a
# fresh EBS volume come from the snapshot at their first touch, a few MiB per second and reader.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"

# A machine that installed its environment by itself has written, and so has, every block of it.
if [[ -e $state/loaded-files && ! -e $state/seconds/environment && ! -e $state/warmed ]]; then
  # Never in the way of what the person or a phase reads
  run systemd-run --quiet --collect --unit=gpustation-warm --property=CPUWeight=1 \
    --property=CPUSchedulingPolicy=idle --property=IOSchedulingClass=idle \
    bash "$here/warm-files.sh" ||
    log 'warning: the files that computing loads are not warmed'
  touch "$state/warmed"
fi
