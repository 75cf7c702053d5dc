# Builds the Python environment of the framework from its lock, with every package pinned by hash.
#
# MXNet 1.9.1 runs on no Python after 3.11, and its lock is for 3.11; PyTorch's is for 3.11 to 3.13.
# On a system without such a Python (for MXNet Ubuntu 22.04 and 24.04, for PyTorch 22.04), uv
# installs 3.11; it checks the hash of every Python that it downloads.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"
. "$here/../../gpu/nvidia_smi.sh"
. "$here/../../gpu/compute_device.sh"

framework=$(setting framework)
uv="$opt/uv/bin/uv"
# On the same file system as the environment, so that uv links files instead of copying them.
export UV_CACHE_DIR="$opt/cache" UV_PYTHON_INSTALL_DIR="$opt/python" UV_NO_CONFIG=1
export UV_HTTP_TIMEOUT=30
standalone_python=cpython-3.11.18-linux-x86_64-gnu
# Where uv downloads it from, unless python_mirror is set (uv python list --show-urls, and its error
# message when both fail).
python_source='releases.astral.sh or github.com'
# Seconds of retrying: a release page recovers more slowly than a package mirror (estimate).
python_seconds=${GPUSTATION_RETRY_SECONDS:-300}

# install_uv: install uv with pip. pip runs from the wheel that python3-venv would unpack, because
# it is used only once: on Debian 12 and Ubuntu 22.04, unpacking and compiling it takes more seconds
# than the rest of this function.
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

# find_python: set $python to a Python that the framework's lock is for; install one if necessary.
find_python() {
  local minor
  minor=$(python3 -I -c 'import sys; print("{}.{}".format(*sys.version_info))')
  case $framework/$minor in
    mxnet/3.11 | pytorch/3.1[123]) python=$(command -v python3) ;;
    *) fetch_python ;;
  esac
}

fetch_python() {
  local output reason mirror status=0 retry_seconds=$python_seconds
  mirror=$(setting python_mirror)
  if [[ -n $mirror ]]; then
    python_source=$mirror
    export UV_PYTHON_INSTALL_MIRROR=$mirror
  fi
  python="$UV_PYTHON_INSTALL_DIR/$standalone_python/bin/python3.11"
  output=$(
    trap - ERR
    retry "$uv" python install --no-bin "$standalone_python" 2>&1 | tee -a /dev/stderr
  ) || status=$?
  if ((status != 0)); then
    output=$(grep -v '^gpustation: ' <<<"$output" | tail -n 1) || true
    reason="Python 3.11 for $framework could not be downloaded from $python_source"
    reason+=" ($(one_line "${output#*cause: }")): the machine must reach it, or python_mirror must"
    record "$status" message "$reason name a copy of python-build-standalone's releases"
    exit "$status"
  fi
}

# register_libraries: let MXNet find CUDA's libraries through the loader's cache. An environment
# variable could get lost in a service, in sudo or in a notebook's kernel. PyTorch's wheels find
# theirs.
register_libraries() {
  local conf="$root/etc/ld.so.conf.d/gpustation.conf"
  if [[ $framework != mxnet ]]; then
    # MXNet was installed before; its libraries no longer exist.
    if [[ -e $conf ]]; then
      rm -f "$conf"
      run ldconfig
    fi
    return
  fi
  mkdir -p "${conf%/*}"
  # The build for the CPU has no such libraries.
  compgen -G "$env/lib/python3.*/site-packages/nvidia/*/lib" >"$conf" || true
  run ldconfig
}

# lock_file FRAMEWORK: print the path of the lock. On a machine of the embedded AWS, the folder
# no-gpu holds a lock for MXNet on the CPU, as its GPU build does not load without a driver.
# PyTorch's GPU build also computes on a CPU.
lock_file() {
  local device own="$root/etc/gpustation/no-gpu/$1.lock"
  device=$(compute_device)
  if [[ $device == cpu && -e $own ]]; then
    printf '%s\n' "$own"
  else
    printf '%s\n' "$scripts/locks/$1.lock"
  fi
}

# require_space_of LOCK: require the size in the lock's first line, and 512 MiB for the cache and
# the notebooks.
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
  # --no-deps, because the lock is complete, and the pins of d2l contradict it.
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

# install_cuda_toolkit: install the toolkit, and compile a program to see that it has the libraries
# and a host compiler that it works with.
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
  # The driver phase may have checked the driver for another framework.
  current=$(driver_state)
  if [[ $current == 'works '* ]]; then
    require_fit "${current#* }"
  fi
  install_environment
fi
# false does not remove the toolkit: the person may still need it.
if [[ $(setting cuda_toolkit) == true ]]; then
  install_cuda_toolkit
fi
