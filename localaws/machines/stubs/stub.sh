#!/usr/bin/env bash
# Stands in for the commands that would change a machine: one file, a link for each name.
#
# Put first on PATH, with GPUSTATION_ROOT naming a folder, it lets the real user data, agent,
# runner and phases run without touching the host. Every call is a line in
# $GPUSTATION_ROOT/var/log/stub-calls.log. LOCALAWS_FAULTS makes a command fail, as JSON:
#   {"modprobe": {"exit": 1, "stderr": "modprobe: FATAL: ...", "when": "nvidia_uvm"}}
# where the optional "when" must be part of the arguments; "stdout" is possible too.
set -euo pipefail

# Its own place tells where it is called with an empty environment, as a home's owner calls it
if [[ $0 == */opt/gpustation/env/bin/python ]]; then
  : "${GPUSTATION_ROOT:=${0%/opt/gpustation/env/bin/python}}"
fi
: "${GPUSTATION_ROOT:?must name the folder that stands for the root of the machine}"
root=$GPUSTATION_ROOT
name=${0##*/}
# Called through a link on PATH, or through one in a virtual environment.
stubs=${0%/*}
if [[ ! -e "$stubs/stub.sh" ]]; then
  stubs=$(readlink -f "$0")
  stubs=${stubs%/*}
fi
packages="$root/var/lib/localaws/packages"
settings="$root/var/lib/gpustation/settings.json"
driver_version=580.178.04
# The newest kernels of the archive, by the ending of their meta packages. Only for these and one
# older one there are modules that fit the driver. LOCALAWS_KERNEL boots another kernel.
declare -A newest=(['aws']=6.8.0-1070-aws ['generic']=5.15.0-130-generic
  ['generic-hwe-22.04']=6.8.0-60-generic)
kernel=${newest[aws]}
fitting=("${newest[@]}" 6.8.0-1069-aws)

# real NAME ARGUMENT...: the command of that name behind the stubs on PATH.
real() {
  PATH=${PATH//"$stubs:"/} exec "$@"
}

real_python() {
  PATH=${PATH//"$stubs:"/} python3 "$@"
}

fail_if_told() {
  [[ ${LOCALAWS_FAULTS:-} == *"\"$name\""* ]] || return 0
  local status=0
  real_python - "$name" "$*" <<'EOF' || status=$?
import json, os, sys
fault = json.loads(os.environ["LOCALAWS_FAULTS"]).get(sys.argv[1])
if fault and fault.get("when", "") in sys.argv[2]:
    print(fault.get("stdout", ""))
    print(fault.get("stderr", ""), file=sys.stderr)
    sys.exit(fault["exit"])
EOF
  if ((status)); then
    exit "$status"
  fi
}

# from_settings NAME: a plain value, as the agent writes the file.
from_settings() {
  [[ $(<"$settings") =~ \"$1\":\ \"?([^\",}]*) ]] && echo "${BASH_REMATCH[1]}"
}

has_package() {
  [[ -e $packages ]] && grep -qxF -- "$1" "$packages"
}

# With -s it prints its plan, without it carries it out.
apt_get() {
  local plan names
  [[ " $* " == *' install '* ]] || return 0
  plan=$(plan_install "$@") || exit
  mapfile -t names <<<"$plan"
  if [[ " $* " == *' -s '* ]]; then
    printf 'Inst %s (1 stub [amd64])\n' "${names[@]}"
  else
    printf '%s\n' "${names[@]}" >>"$packages"
  fi
}

# plan_install ARGUMENT...: the packages that would be installed. A module is for one version of the
# driver: those of older kernels can no longer be installed.
plan_install() {
  local word name wanted='' module='^(linux-modules-nvidia-[0-9]+-server(-open)?)-(.+)$'
  for word in "$@"; do
    name=${word%%=*}
    if [[ $word == install ]]; then
      wanted=1
    elif [[ -z $wanted || $word == -* || $word == *::* ]]; then
      continue
    elif [[ ! $name =~ $module || " ${fitting[*]} " == *" ${BASH_REMATCH[3]} "* ]]; then
      echo "$name"
    elif [[ ${BASH_REMATCH[3]} == [0-9]* ]]; then
      echo "The following packages have unmet dependencies:" >&2
      echo " $name : Depends: nvidia-kernel-common-580-server (<= 580.159.03-1)" \
        "but $driver_version-0ubuntu0.24.04.1 is to be installed" >&2
      echo 'E: Unable to correct problems, you have held broken packages.' >&2
      return 100
    elif [[ -z ${newest[${BASH_REMATCH[3]}]:-} ]]; then
      echo "E: Unable to locate package $name" >&2
      return 100
    else
      printf '%s\n' "$name" "${BASH_REMATCH[1]}-${newest[${BASH_REMATCH[3]}]}" \
        "linux-image-${newest[${BASH_REMATCH[3]}]}"
    fi
  done
}

apt_config() {
  printf "%s='%s'\n" list "$root/etc/apt/sources.list" parts "$root/etc/apt/sources.list.d/"
}

apt_cache() {
  case $1 in
    madison) printf ' %s | %s-0ubuntu0.24.04.1 | stub\n' "$2" "$driver_version" ;;
  esac
}

# A module is loaded for one kernel; udev loads it at a boot because the card is there.
has_module() {
  [[ -e $packages ]] && grep -qE "^linux-modules-nvidia-.*-$(running_kernel)\$" "$packages"
}

load_module() {
  if [[ " $* " == *nvidia* ]] && ! has_module; then
    echo "modprobe: FATAL: Module nvidia not found in directory /lib/modules/$(running_kernel)" >&2
    exit 1
  fi
  touch "$root/var/lib/localaws/module-loaded"
}

running_kernel() {
  # The newest kernel runs once a meta package has brought it and the machine was rebooted.
  if [[ -e "$root/var/lib/localaws/rebooted" ]]; then
    echo "$kernel"
  else
    echo "${LOCALAWS_KERNEL:-$kernel}"
  fi
}

dpkg_query() {
  if [[ " $* " == *'Package}'* ]]; then
    [[ ! -e $packages ]] || sed 's/^/installed /' "$packages"
  else
    has_package "${@: -1}" && printf installed
  fi
}

gpu_name() {
  case $(from_settings instance_type) in
    g4dn.*) echo 'Tesla T4' ;;
    g5.*) echo 'NVIDIA A10G' ;;
    g6.* | gr6.*) echo 'NVIDIA L4' ;;
    g6e.*) echo 'NVIDIA L40S' ;;
    p3*.*) echo 'Tesla V100-SXM2-32GB' ;;
    p4d*.*) echo 'NVIDIA A100-SXM4' ;;
    p5.*) echo 'NVIDIA H100 80GB HBM3' ;;
    p5e*.*) echo 'NVIDIA H200' ;;
    *) echo 'NVIDIA GPU' ;;
  esac
}

capability() {
  case $(from_settings instance_type) in
    p3*.*) echo 7.0 ;;
    p4d*.*) echo 8.0 ;;
    g5.*) echo 8.6 ;;
    g6*.* | gr6.*) echo 8.9 ;;
    p5*.*) echo 9.0 ;;
    *) echo 7.5 ;;
  esac
}

nvidia_smi() {
  local count index query=
  if [[ ! -e "$root/var/lib/localaws/module-loaded" ]] || ! has_module; then
    echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'
    exit 9
  fi
  count=$(from_settings gpus)
  for ((index = 0; index < count; index++)); do
    query=${*:1:1}
    case $query in
      --query-gpu=name,driver_version) echo "$(gpu_name), $driver_version" ;;
      --query-gpu=name,compute_cap) echo "$(gpu_name), $(capability)" ;;
      --query-gpu=driver_version) echo "$driver_version" ;;
      *) echo "GPU $index: $(gpu_name)" ;;
    esac
  done
}

# The set-up's unit runs as systemd would run it, but once and in the foreground; a failure
# starts the unit of its OnFailure.
systemctl_() {
  case " $* " in
    *' start '*gpustation.service* | *' restart '*gpustation.service*)
      run_unit gpustation.service
      ;;
    *' show '*ActiveState,SubState*) printf '%s\n' active exited ;;
    *' reboot '*) touch "$root/var/lib/localaws/rebooted" ;;
    *' is-active '*nvidia-fabricmanager*) return 3 ;;
  esac
}

run_unit() {
  local file="$root/etc/systemd/system/$1" line next
  while IFS= read -r line; do
    if ! bash -c "$line"; then
      next=$(sed -n 's/^OnFailure=//p' "$file")
      [[ -z $next ]] || run_unit "$next"
      return
    fi
  done < <(sed -n 's/^ExecStart=//p' "$file")
}

git_() {
  local folder=${*: -1}
  case " $* " in
    *' init '*) mkdir -p "$folder" ;;
    *' checkout '*)
      mkdir -p "$2/chapter_preliminaries" "$2/img"
      printf '%s\n' '# Stub of a chapter' '' '```{.python .input}' '%%tab all' '1 + 1' '```' \
        >"$2/chapter_preliminaries/ndarray.md"
      ;;
  esac
}

uv_() {
  case "$1 ${2:-}" in
    'venv '*) make_environment "${@: -1}" ;;
    'pip install')
      mkdir -p "$root/opt/gpustation/env/lib/python3.12/site-packages/nvidia/cublas/lib"
      ;;
    'python install')
      mkdir -p "$UV_PYTHON_INSTALL_DIR/$4/bin"
      note fetches from "${UV_PYTHON_INSTALL_MIRROR:-its own source}"
      ;;
  esac
}

make_environment() {
  mkdir -p "$1/bin"
  ln -sf "$stubs/stub.sh" "$1/bin/python"
}

python3_() {
  local words=("$@")
  fail_if_told "$@"
  [[ ${1:-} != -I ]] || shift
  if [[ ${1:-} == -m && ${2:-} == venv ]]; then
    note "$@"
    make_environment "${@: -1}"
  elif [[ ${1:-} == -c && ${2:-} == *version_info* ]]; then
    # The machine's own Python, not that of whoever runs the tests: 3.12 on Ubuntu 24.04.
    echo "${LOCALAWS_PYTHON:-3.12}"
  else
    real python3 "${words[@]}"
  fi
}

# The python of a virtual environment that a stub made: nothing is installed in it.
environment_python() {
  local title=MXNet version=1.9.1 cuda=11.8
  if [[ -e $settings && $(from_settings framework) == pytorch ]]; then
    title=PyTorch version=2.14.1 cuda=13.0
  fi
  case " $* " in
    *'-m pip install '* | *'.whl/pip install '*) ln -sf "$stubs/stub.sh" "$(dirname "$0")/uv" ;;
    *' -m venv '*)
      local made=${*: -1}
      make_environment "$made"
      mkdir -p "$made/lib/python3.12/site-packages"
      ;;
    *' -c '*purelib*) echo "3.12 ${0%/bin/python}/lib/python3.12/site-packages" ;;
    *describe_environment.py*) echo "$title $version, CUDA $cuda libraries (simulated)" ;;
    *verify.py*) simulate_verify "$title" "$version" "$cuda" ;;
  esac
}

simulate_verify() {
  echo 'simulated: no machine was booted, nothing is computed' >&2
  echo "${0%/bin/*}/lib/simulated" >"${settings%/*}/loaded-files"
  GPU=$(gpu_name) DRIVER=$driver_version real_python - "$settings" "$@" <<'EOF'
import json, os, sys
path, title, version, cuda = sys.argv[1:]
count = json.load(open(path))["gpus"]
versions = {"driver": os.environ["DRIVER"], "CUDA": cuda, title: version}
note = "simulated, no machine was booted"
result = {"device": "gpu", "devices": [os.environ["GPU"]] * count, "note": note}
print(json.dumps({**result, "versions": versions}))
EOF
}

note() {
  # What is asked at every boot, or made in a home, changes nothing of the machine
  [[ "$name $*" != "python "*@(purelib|-m venv)* ]] || return 0
  [[ -d ${packages%/*} ]] || mkdir -p "$root/var/log" "${packages%/*}"
  # A home's owner may not write there
  { printf '%s\n' "$name $*" >>"$root/var/log/stub-calls.log"; } 2>/dev/null || true
}

if [[ $name == python3 ]]; then
  python3_ "$@"
  exit
fi
note "$@"
fail_if_told "$@"
case $name in
  apt-cache) apt_cache "$@" ;;
  apt-config) apt_config ;;
  apt-get) apt_get "$@" ;;
  apt-mark | chown | ldconfig | systemd-run) ;;
  df) printf '%s\n' Avail "${LOCALAWS_FREE_MIB:-40000}" ;;
  dpkg-query) dpkg_query "$@" ;;
  git) git_ "$@" ;;
  journalctl) echo '(simulated: there is no journal)' ;;
  modprobe) load_module "$@" ;;
  nvcc) echo 'Cuda compilation tools (simulated)' ;;
  nvidia-smi) nvidia_smi "$@" ;;
  python) environment_python "$@" ;;
  systemctl) systemctl_ "$@" ;;
  uname)
    if [[ ${1:-} == -r ]]; then running_kernel; else real uname "$@"; fi
    ;;
  uv) uv_ "$@" ;;
  *)
    echo "$0: there is no stub of $name" >&2
    exit 127
    ;;
esac
