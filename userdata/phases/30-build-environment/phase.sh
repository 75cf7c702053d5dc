# Builds the Python environment of the framework from its lock, every package pinned by hash.
#
# MXNet 1.9.1 runs on no Python after 3.11, its lock is for that one; PyTorch's is for 3.11 to 3.13.
# A system that has none of these (MXNet's: Ubuntu 22.04 and 24.04, PyTorch's: 22.04) gets 3.11 from
# uv, which knows the hash of every Python that it downloads.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"
. "$here/../../gpu/nvidia_smi.sh"
. "$here/../../gpu/compute_device.sh"

framework=$(setting framework)
uv="$opt/uv/bin/uv"
# On the disk of the environment, so that uv links files instead of copying them.
export UV_CACHE_DIR="$opt/cache" UV_PYTHON_INSTALL_DIR="$opt/python" UV_NO_CONFIG=1
export UV_HTTP_TIMEOUT=30
standalone_python=cpython-3.11.18-linux-x86_64-gnu
# Where uv looks for it in turn, unless python_mirror names another place (uv python list --show-urls,
# and what it says when both fail).
python_source='releases.astral.sh or github.com'
# Seconds of trying: a release page that is down takes longer than a mirror of packages (estimate).
python_seconds=${GPUSTATION_RETRY_SECONDS:-300}

# pip serves once here. It runs from the archive that python3-venv would unpack it from: unpacked and
# compiled first, it costs Debian 12 and Ubuntu 22.04 more seconds than all the rest of this function.
install_uv() {
  local wheels pip=(-m pip) venv=(-m venv)
  rm -rf "$opt/uv"
  wheels=("$root"/usr/share/python-wheels/pip-*.whl)
  if [[ -e ${wheels[0]} ]]; then
    pip=("${wheels[0]}/pip")
    venv+=(--without-pip)
  fi
  run python3 -I "${venv[@]}" "$opt/uv"
  retry "$opt/uv/bin/python" -I "${pip[@]}" install --quiet --disable-pip-version-check \
    --no-deps --require-hashes --only-binary :all: -r "$scripts/locks/uv.lock"
}

# find_python: sets $python to one that the framework's lock is for.
find_python() {
  local minor
  minor=$(python3 -I -c 'import sys; print("{}.{}".format(*sys.version_info))')
  case $framework/$minor in
    mxnet/3.11 | pytorch/3.1[123]) python=$(command -v python3) ;;
    *) fetch_python ;;
  esac
}

fetch_python() {
  local said why mirror status=0 retry_seconds=$python_seconds
  mirror=$(setting python_mirror)
  if [[ -n $mirror ]]; then
    python_source=$mirror
    export UV_PYTHON_INSTALL_MIRROR=$mirror
  fi
  python="$UV_PYTHON_INSTALL_DIR/$standalone_python/bin/python3.11"
  said=$(
    trap - ERR
    retry "$uv" python install --no-bin "$standalone_python" 2>&1 | tee -a /dev/stderr
  ) || status=$?
  if ((status != 0)); then
    said=$(grep -v '^gpustation: ' <<<"$said" | tail -n 1) || true
    why="Python 3.11 for $framework did not come from $python_source"
    why+=" ($(one_line "${said#*cause: }")): the machine must reach it, or python_mirror must name"
    record "$status" message "$why a copy of python-build-standalone's releases"
    exit "$status"
  fi
}

# MXNet finds CUDA's libraries through the loader's cache: no variable that a service, sudo or a
# kernel could lose. PyTorch's wheels know the way to theirs.
register_libraries() {
  local conf="$root/etc/ld.so.conf.d/gpustation.conf"
  if [[ $framework != mxnet ]]; then
    # Of MXNet, which was here before; its libraries are gone
    if [[ -e $conf ]]; then
      rm -f "$conf"
      run ldconfig
    fi
    return
  fi
  mkdir -p "${conf%/*}"
  # None with the build for the CPU
  compgen -G "$env/lib/python3.*/site-packages/nvidia/*/lib" >"$conf" || true
  run ldconfig
}

# lock_file FRAMEWORK: what the environment is installed from. PyTorch's GPU build computes on a CPU
# too; for MXNet, whose build does not even load there, the folder has another lock.
lock_file() {
  local device own="$root/etc/gpustation/no-gpu/$1.lock"
  device=$(compute_device)
  if [[ $device == cpu && -e $own ]]; then
    printf '%s\n' "$own"
  else
    printf '%s\n' "$scripts/locks/$1.lock"
  fi
}

# The lock's first line tells what its packages take; the rest is for the cache and notebooks.
require_space_of() {
  local size=0 first
  read -r first <"$1"
  if [[ $first =~ ^'# installed: '([0-9]+)' MiB'$ ]]; then
    size=${BASH_REMATCH[1]}
  fi
  require_space $((size + 512)) "the environment of $framework"
}

install_environment() {
  local python described lock
  rm -f "$state/environment-complete"
  install_uv
  find_python
  lock=$(lock_file "$framework")
  require_space_of "$lock"
  run "$uv" venv --quiet --clear --python "$python" "$env"
  # The lock is complete, and the pins of d2l would contradict it: hence no dependencies.
  retry "$uv" pip install --quiet --python "$env/bin/python" --no-deps --require-hashes \
    --only-binary :all: -r "$lock"
  register_libraries
  chmod -R a+rX "$env"
  described=$("$env/bin/python" -I "$here/describe_environment.py" "$framework")
  fact "$described"
  rm -rf "$UV_CACHE_DIR"
  sync
  printf '%s\n' "$framework" >"$state/environment-complete"
}

# A toolkit that has the compiler, but not a library or a host compiler that it works with, would
# only be met in the middle of someone's work.
install_cuda_toolkit() {
  local draft
  is_installed nvidia-cuda-toolkit || {
    require_space 6144 'the CUDA toolkit'
    apt_update
    apt_install nvidia-cuda-toolkit
  }
  draft=$(mktemp -d)
  run nvcc -o "$draft/probe" "$here/cuda_probe.cu" -lcublas
  rm -rf "$draft"
}

complete="$state/environment-complete"
if [[ ! -e $complete || $(<"$complete") != "$framework" ]]; then
  # The driver phase asked for another framework, if it has run before.
  found=$(driver_state)
  if [[ $found == 'works '* ]]; then
    require_fit "${found#* }"
  fi
  install_environment
fi
# Set to false it is left installed: whoever compiled with it may still need it.
if [[ $(setting cuda_toolkit) == true ]]; then
  install_cuda_toolkit
fi
