"""Prints the settings of a machine without a stack, as JSON.

They consist of the options of install.sh and of the GPUs on the machine's PCI bus.
"""

import argparse
import configparser
import json
import os
import platform
import pwd
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = os.environ.get("GPUSTATION_ROOT", "")
PCI = Path(ROOT + "/sys/bus/pci/devices")
BOOTSTRAP = Path(ROOT + "/etc/gpustation/bootstrap.json")
SETTINGS = Path(ROOT + "/var/lib/gpustation/settings.json")
NO_GPU = Path(ROOT + "/etc/gpustation/no-gpu")
#: The same as DRIVER_BRANCH of the library's catalog; a test compares them.
DRIVER_BRANCH = "580-server"
NVIDIA = "0x10de"
#: PCI classes of graphics cards and 3D controllers.
GPU_CLASSES = ("0x0300", "0x0302")
#: PCI class of NVSwitches, "other bridge".
SWITCH_CLASS = "0x0680"
#: The lowest device id of a Turing GPU; the open kernel module supports these and later ones (the
#: table in NVIDIA's open-gpu-kernel-modules begins with 1E02, TITAN RTX).
FIRST_TURING = 0x1E00
#: Device ids of B200 and B300 (table of NVIDIA's open-gpu-kernel-modules), whose NVSwitches need
#: NVIDIA's NVLink Subnet Manager, and where its package installs it.
FOURTH_NVSWITCH = (0x2901, 0x3182)
NVLSM = Path(ROOT + "/opt/nvidia/nvlsm")


def port(text: str) -> int:
    """Return the number of a port that an ordinary user may listen on.

    Raises:
        argparse.ArgumentTypeError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and 1024 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1024 to 65535")
    return int(text)


def idle_minutes(text: str) -> int:
    """Return the minutes after which an idle machine powers itself off.

    Raises:
        argparse.ArgumentTypeError: The text is no such number.
    """
    if text != "0" and not (text.isascii() and text.isdigit() and 10 <= int(text) <= 1440):
        raise argparse.ArgumentTypeError(f"{text!r} must be 0 or a whole number from 10 to 1440")
    return int(text)


def address(kinds: tuple[str, ...]) -> Callable[[str], str]:
    """Return a parser for an address with one of these schemes, or ``none``.

    Its error does not contain the value, because a password may be in it.
    """

    def read(text: str) -> str:
        if text == "none":
            return ""
        # Without blanks, quotes and backslashes, because it is written to files of systemd and pip
        if not re.fullmatch(rf"({'|'.join(kinds)})://[^\s\"'\\/]+(/[^\s\"'\\]*)?", text):
            raise argparse.ArgumentTypeError(
                f"must be {kinds[0]}://HOST:PORT or none, without blanks and quotes (one of the "
                f"schemes {', '.join(kinds)})"
            )
        return text

    return read


proxy = address(("http", "https"))
index = address(("https", "http"))


def of_caller(setting: str, *names: str) -> str:
    """Return the first of these environment variables that is set, else the previous run's setting.

    So a second ``sudo install.sh`` without ``-E`` keeps the value.
    """
    for name in names:
        if os.environ.get(name):
            return os.environ[name]
    try:
        previous = json.loads(SETTINGS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(previous.get(setting) or "")


def index_of_pip() -> str:
    """Return the package index of pip's configuration files; empty if there is none."""
    home = Path(os.environ.get("HOME") or "/root")
    files = [home / ".config/pip/pip.conf", home / ".pip/pip.conf", Path(ROOT + "/etc/pip.conf")]
    for path in files:
        config = configparser.RawConfigParser(strict=False)
        try:
            config.read(path, encoding="utf-8")
            return config["global"]["index-url"]
        except (configparser.Error, KeyError, OSError, UnicodeDecodeError):
            continue
    return ""


def options(words: list[str]) -> argparse.Namespace:
    """Parse the command line of install.sh."""
    parser = argparse.ArgumentParser(
        prog="install.sh",
        description="Makes this Ubuntu machine with NVIDIA GPUs a deep-learning workstation: "
        "driver, framework with its CUDA libraries, notebooks, and Jupyter on the loopback. "
        "Run again, it changes what the options say and installs nothing twice.",
    )
    parser.add_argument(
        "--framework",
        required=True,
        choices=("mxnet", "pytorch"),
        help="mxnet is retired: for trusted data and models; pytorch is for new work",
    )
    parser.add_argument(
        "--user",
        default=os.environ.get("SUDO_USER") or "ubuntu",
        help="user that Jupyter runs as (default: the caller of sudo, else ubuntu)",
    )
    flags = argparse.BooleanOptionalAction
    parser.add_argument(
        "--notebooks",
        action=flags,
        default=True,
        help="fetch the notebooks of Dive into Deep Learning",
    )
    parser.add_argument(
        "--cuda-toolkit", action=flags, default=False, help="also install the toolkit with nvcc"
    )
    parser.add_argument(
        "--jupyter-port",
        type=port,
        default=8888,
        metavar="PORT",
        help="port of Jupyter on 127.0.0.1 (default: 8888)",
    )
    parser.add_argument(
        "--idle-stop",
        type=idle_minutes,
        default=of_caller("idle_stop_minutes") or "0",
        metavar="MINUTES",
        help="power the machine off when nothing moved on it for 10 to 1440 minutes, or 0: never "
        "(default: as in the last run, else 0)",
    )
    parser.add_argument(
        "--proxy",
        type=proxy,
        default=of_caller("proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
        or "none",
        metavar="URL",
        help="proxy for apt, pip, uv, git and Jupyter, or none (default: https_proxy or "
        "http_proxy of the environment, which sudo passes on with -E)",
    )
    parser.add_argument(
        "--package-index",
        type=index,
        default=of_caller("package_index", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
        or index_of_pip()
        or "none",
        metavar="URL",
        help="index of Python packages, each checked by its hash, or none (default: "
        "PIP_INDEX_URL of the environment, else pip's configuration)",
    )
    parser.add_argument(
        "--python-mirror",
        type=index,
        default=of_caller("python_mirror", "UV_PYTHON_INSTALL_MIRROR") or "none",
        metavar="URL",
        help="source of Python 3.11 on a system without a Python for the framework, checked by "
        "its hash, or none for uv's own sources, releases.astral.sh and github.com "
        "(default: UV_PYTHON_INSTALL_MIRROR of the environment)",
    )
    parser.add_argument(
        "--for-image",
        action="store_true",
        help="stop before the GPU is verified, and add what an image for EC2 needs (for image.sh)",
    )
    return parser.parse_args(words)


def require_machine() -> None:
    """Refuse a machine on which the set-up would fail.

    Raises:
        SystemExit: A stack sets up this machine, or its processor is not x86_64.
    """
    if BOOTSTRAP.exists():
        sys.exit(
            "install.sh: this machine belongs to a stack, which sets it up by itself; change the "
            "stack's settings and deploy, or run /opt/gpustation/scripts/run.sh again"
        )
    if platform.machine() != "x86_64":
        sys.exit(
            f"install.sh: the processor must be x86_64, this is {platform.machine()}; there are "
            "no CUDA builds of the frameworks for it"
        )


def person(name: str) -> pwd.struct_passwd:
    """Return the account of the person.

    Raises:
        SystemExit: The user does not exist, or it is root.
    """
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        sys.exit(f"install.sh: --user {name}: there is no such user; name one that exists")
    if account.pw_uid == 0:
        sys.exit("install.sh: --user root: Jupyter must not run as root; name an ordinary user")
    return account


def attribute(device: Path, name: str) -> str:
    """Return an attribute of a PCI device; empty if it cannot be read."""
    try:
        return (device / name).read_text(errors="replace").strip()
    except OSError:
        return ""


def device_id(device: Path) -> int:
    """Return the device id of a PCI device; 0 if it cannot be read."""
    try:
        return int(attribute(device, "device"), 16)
    except ValueError:
        return 0


def hardware() -> dict[str, object]:
    """Return number and kind of the GPUs, from the PCI bus, as there may be no driver yet.

    Raises:
        SystemExit: There is no GPU, or its NVSwitches need software that is not installed.
    """
    devices = sorted(PCI.iterdir()) if PCI.is_dir() else []
    classes = [(attribute(device, "class")[:6], device) for device in devices]
    nvidia = [pair for pair in classes if attribute(pair[1], "vendor") == NVIDIA]
    gpus = [device for kind, device in nvidia if kind in GPU_CLASSES]
    if not gpus and not NO_GPU.is_dir():
        sys.exit("install.sh: no NVIDIA GPU on the PCI bus; attach one, or take another machine")
    ids = [device_id(gpu) for gpu in gpus]
    if len(gpus) > 1 and {*ids} & {*FOURTH_NVSWITCH} and not NVLSM.is_dir():
        sys.exit(
            "install.sh: the NVSwitches between these GPUs need NVIDIA's NVLink Subnet Manager, "
            "which install.sh does not install: set up nvlsm, the module ib_umad and the fabric "
            "manager as NVIDIA's Fabric Manager user guide says, then run this again"
        )
    open_module = all(each >= FIRST_TURING for each in ids)
    return {
        "gpus": len(gpus) or 1,
        "driver_kind": "open" if open_module else "proprietary",
        "driver_branch": DRIVER_BRANCH,
        "fabric_manager": any(kind == SWITCH_CLASS for kind, _ in nvidia),
    }


def main() -> None:
    """Print the settings."""
    args = options(sys.argv[1:])
    require_machine()
    account = person(args.user)
    settings = {
        "stack": "",
        "framework": args.framework,
        "instance_type": "standalone",
        **hardware(),
        "public_key": "",
        "notebooks": args.notebooks,
        "cuda_toolkit": args.cuda_toolkit,
        "jupyter_port": args.jupyter_port,
        "proxy": args.proxy,
        "no_proxy": of_caller("no_proxy", "no_proxy", "NO_PROXY"),
        "package_index": args.package_index,
        "python_mirror": args.python_mirror,
        "idle_stop_minutes": args.idle_stop,
        "user": account.pw_name,
        "home": account.pw_dir,
        "for_image": args.for_image,
        "left_out": "verify" if args.for_image else "",
    }
    print(json.dumps(settings))


if __name__ == "__main__":
    main()
