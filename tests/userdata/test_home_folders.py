"""What root does in a folder that somebody else owns: nothing. Each attack once, by its real phase.

Every file here is as the attacker leaves it before a boot. Without root's rights there is nobody
to be attacked: those tests need root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine_bench import SETTINGS, STUBS, USERDATA

PERSON, OTHER = 65532, 65531
"""User ids that no computer gives to anybody (those below 65534 are not allocated by useradd)."""
BEGIN = "# gpustation: set by the stack, replaced at every boot"
KEY = "ssh-ed25519 AAAA of-the-stack"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be made to do it")


@dataclass
class Disk:
    """A machine's root folder with one home, and what its scripts print."""

    root: Path
    output: str = ""

    @property
    def home(self) -> Path:
        return self.root / "home/ubuntu"

    def give(self, *paths: str, user: int = PERSON) -> None:
        """Make somebody the owner, as if they had made it; not of what a link leads to."""
        for path in paths:
            if os.geteuid() == 0:
                os.lchown(self.root / path, user, user)

    def run(self, script: str, **settings: object) -> int:
        """Run a script of the machine as root; returns its status."""
        known = {**SETTINGS, "jupyter_port": 8888, "role_credentials_for_users": False, **settings}
        settings_file = self.root / "var/lib/gpustation/settings.json"
        settings_file.write_text(json.dumps(known))
        listed = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in known.items()]
        done = subprocess.run(
            ["bash", self.root / "opt/gpustation/scripts" / script],
            env={
                "PATH": f"{STUBS}:{os.environ['PATH']}",
                "GPUSTATION_ROOT": str(self.root),
                "GPUSTATION_PHASE": "access",
                "GPUSTATION_RECORD": str(self.root / "record"),
                "GPUSTATION_SETTINGS": "\n".join(listed),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.output = done.stdout + done.stderr
        return done.returncode

    @property
    def warning(self) -> str:
        file = self.root / "var/lib/gpustation/warnings/access"
        return file.read_text() if file.exists() else ""


@pytest.fixture
def disk() -> Iterator[Disk]:
    """In a folder that everybody may enter: only rights keep them out of the files in it."""
    root = Path(tempfile.mkdtemp(prefix="home-folders-"))
    root.chmod(0o755)
    made = Disk(root)
    for folder in ("facts", "warnings", "done", "seconds"):
        (root / "var/lib/gpustation" / folder).mkdir(parents=True)
    for folder in ("etc/gpustation", "home/ubuntu", "home/other", "root", "var/lib/cloud/data"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(
        USERDATA, root / "opt/gpustation/scripts", ignore=shutil.ignore_patterns("*.lock")
    )
    made.give("home/ubuntu")
    made.give("home/other", user=OTHER)
    secret = root / "etc/gpustation/bootstrap.json"
    secret.write_text('{"signals": "SECRET"}')
    secret.chmod(0o600)
    try:
        yield made
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", root], check=False)  # some were closed on purpose
        shutil.rmtree(root)


def ssh_folder(disk: Disk) -> Path:
    folder = disk.home / ".ssh"
    folder.mkdir(mode=0o700)
    disk.give("home/ubuntu/.ssh")
    return folder


def become_new(disk: Disk) -> None:
    """Run what a copied disk runs at its first boot in another machine."""
    (disk.root / "var/lib/cloud/data/instance-id").write_text("i-new\n")
    (disk.root / "var/lib/gpustation/instance-id").write_text("i-old\n")
    assert disk.run("identity/become-new-machine.sh") == 0, disk.output


@needs_root
def test_a_link_in_ssh_writes_nothing_elsewhere(disk: Disk) -> None:
    folder = ssh_folder(disk)
    (folder / "authorized_keys").write_text(f"/home/evil.so\n{BEGIN}\n")
    (folder / "authorized_keys.gpustation").symlink_to(disk.root / "etc/ld.so.preload")
    disk.give(*(f"home/ubuntu/.ssh/authorized_keys{end}" for end in ("", ".gpustation")))
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=KEY) == 0
    assert not (disk.root / "etc/ld.so.preload").exists()
    assert KEY in (folder / "authorized_keys").read_text()


@needs_root
@pytest.mark.parametrize("key", ["", KEY])
def test_authorized_keys_as_a_link_to_a_secret_gives_nothing_away(disk: Disk, key: str) -> None:
    secret = disk.root / "etc/gpustation/bootstrap.json"
    link = ssh_folder(disk) / "authorized_keys"
    link.symlink_to(secret)
    disk.give("home/ubuntu/.ssh/authorized_keys")
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=key) == 0
    assert link.is_symlink()
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)
    assert "Permission denied" in disk.warning
    assert "SECRET" not in disk.output


@needs_root
def test_ssh_as_a_link_to_a_folder_of_roots_changes_nothing_there(disk: Disk) -> None:
    etc = disk.root / "etc"
    (disk.home / ".ssh").symlink_to(etc)
    disk.give("home/ubuntu/.ssh")
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=KEY) == 0
    assert (etc.stat().st_uid, etc.stat().st_mode & 0o777) == (0, 0o755)
    assert not (etc / "authorized_keys").exists()
    assert "authorized_keys of ubuntu is not up to date" in disk.warning


@needs_root
@pytest.mark.parametrize("target", ["gpu-starter.ipynb", ".gpu-starter.draft", ".d2l-draft", "d2l"])
def test_notebooks_are_not_written_through_a_link(disk: Disk, target: str) -> None:
    victim = disk.root / "etc/victim"
    (disk.home / target).symlink_to(victim)
    disk.give(f"home/ubuntu/{target}")
    assert disk.run("phases/40-fetch-notebooks/phase.sh") == 0, disk.output
    assert not victim.exists()
    made = [path for path in disk.home.rglob("*") if not path.is_symlink()]
    assert {path.lstat().st_uid for path in made} <= {PERSON}


@needs_root
def test_the_token_is_nowhere_a_user_can_put_a_link(disk: Disk) -> None:
    folder = disk.home / ".config/gpustation"
    folder.mkdir(parents=True)
    for name in ("jupyter-token.new", "jupyter-token"):
        (folder / name).symlink_to(disk.root / "etc/ld.so.preload")
    disk.give(
        *(f"home/ubuntu/.config{end}" for end in ("", "/gpustation", "/gpustation/jupyter-token"))
    )
    (disk.root / "etc/machine-id").write_text("machine\n")
    kernel = disk.root / "opt/gpustation/env/share/jupyter/kernels/mxnet/kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.touch()
    assert disk.run("phases/50-start-jupyter/phase.sh") == 0, disk.output
    assert not (disk.root / "etc/ld.so.preload").exists()
    token = disk.root / "var/lib/gpustation/jupyter-token"
    assert re.fullmatch(r"[0-9a-f]{48}", token.read_text())
    assert token.stat().st_mode & 0o777 == 0o600
    # Where earlier releases kept it
    assert not (folder / "jupyter-token").is_symlink()


@needs_root
def test_a_new_machine_does_nothing_for_a_strangers_links(disk: Disk) -> None:
    """Every home of a copied disk is visited, also those of users who have no workstation."""
    for folder in (".ssh", ".config", ".config/gpustation"):
        (disk.root / "home/other" / folder).mkdir()
        disk.give(f"home/other/{folder}", user=OTHER)
    victims = [disk.root / "etc" / name for name in ("preload", "sudoers", "history")]
    keys = disk.root / "home/other/.ssh/authorized_keys"
    keys.write_text(f"news ALL=(ALL) NOPASSWD: ALL\n{BEGIN}\n{KEY}\n# gpustation: end\n")
    victims[2].write_text("kept")
    for link, victim in zip(
        (".ssh/authorized_keys.gpustation", ".config/gpustation/jupyter-token.new", ".x_history"),
        victims,
        strict=True,
    ):
        (disk.root / "home/other" / link).symlink_to(victim)
        disk.give(f"home/other/{link}", user=OTHER)
    disk.give("home/other/.ssh/authorized_keys", user=OTHER)
    become_new(disk)
    assert [victim.exists() for victim in victims] == [False, False, True]
    assert keys.read_text() == "news ALL=(ALL) NOPASSWD: ALL\n"
    assert keys.stat().st_uid == OTHER


@needs_root
def test_a_folder_of_homes_that_is_nobodys_home_is_left_alone(disk: Disk) -> None:
    """/home/shared belongs to root and everybody may write there: root's rights would be theirs."""
    shared = disk.root / "home/shared"
    (shared / ".ssh").mkdir(parents=True)
    shared.chmod(0o1777)
    (shared / ".ssh/authorized_keys").symlink_to(disk.root / "etc/gpustation/bootstrap.json")
    disk.give("home/shared/.ssh", "home/shared/.ssh/authorized_keys")
    become_new(disk)
    assert "home/shared keeps the old machine's key and histories" in disk.output
    assert "SECRET" in (disk.root / "etc/gpustation/bootstrap.json").read_text()


@needs_root
def test_an_image_is_cleaned_in_homes_by_their_owners(disk: Disk) -> None:
    kept = disk.root / "etc/gpustation/kept"
    kept.write_text("kept")
    (disk.home / ".config").symlink_to(disk.root / "etc")
    (disk.home / ".bash_history").write_text("secret")
    disk.give("home/ubuntu/.config", "home/ubuntu/.bash_history")
    done = subprocess.run(
        ["bash", disk.root / "opt/gpustation/scripts/image.sh", "clean"],
        env={"PATH": f"{STUBS}:{os.environ['PATH']}", "GPUSTATION_ROOT": str(disk.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == "kept"
    assert not (disk.home / ".bash_history").exists()


ODD = {
    "dangling .ssh": "ln -s /no/such/folder .ssh",
    ".ssh a file": "touch .ssh",
    "authorized_keys a folder": "mkdir -p .ssh/authorized_keys",
    "authorized_keys a FIFO": "mkdir .ssh; mkfifo .ssh/authorized_keys",
    "authorized_keys a device": "mkdir .ssh; ln -s /dev/zero .ssh/authorized_keys",
    "authorized_keys a link to itself": "mkdir .ssh; ln -s authorized_keys .ssh/authorized_keys",
    "authorized_keys of a TiB": "mkdir .ssh; truncate -s 1T .ssh/authorized_keys",
    "no rights": "mkdir -m 0 .ssh",
    "no home": "rmdir $PWD",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_a_warning_and_no_failure(disk: Disk, name: str) -> None:
    subprocess.run(["sh", "-c", ODD[name]], cwd=disk.home, check=True)
    for path in disk.home.rglob("*"):
        disk.give(str(path.relative_to(disk.root)))
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=KEY) == 0, disk.output
    assert "it did not end within" not in disk.output, "it waited for somebody"
    (line,) = disk.warning.splitlines()
    assert line.startswith("authorized_keys of ubuntu is not up to date: ")
    assert "Traceback" not in disk.output
    # Without a key there may be nothing to warn of, and never a failure
    assert disk.run("phases/05-authorize-key/phase.sh", public_key="") == 0, disk.output
    assert disk.run("phases/40-fetch-notebooks/phase.sh") == 0, disk.output


def test_bytes_of_any_encoding_stay_as_they_are(disk: Disk) -> None:
    keys = ssh_folder(disk) / "authorized_keys"
    old = b"ssh-ed25519 AAAA J\xfcrgen\r\n\x0b\xe2\x80\xa8 no end"
    keys.write_bytes(old)
    disk.give("home/ubuntu/.ssh/authorized_keys")
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=KEY) == 0
    assert keys.read_bytes() == old + f"\n{BEGIN}\n{KEY}\n# gpustation: end\n".encode()
    assert disk.run("phases/05-authorize-key/phase.sh", public_key="") == 0
    assert keys.read_bytes() == old + b"\n"
    assert disk.warning == ""


def test_a_link_to_a_file_of_the_persons_own_stays_a_link(disk: Disk) -> None:
    """People keep such files in a folder of their own and link to it."""
    own = disk.home / "dotfiles"
    own.mkdir()
    (own / "keys").write_text("ssh-rsa AAAA mine\n")
    (ssh_folder(disk) / "authorized_keys").symlink_to("../dotfiles/keys")
    disk.give("home/ubuntu/dotfiles", "home/ubuntu/dotfiles/keys")
    assert disk.run("phases/05-authorize-key/phase.sh", public_key=KEY) == 0
    assert KEY in (own / "keys").read_text()
    assert (disk.home / ".ssh/authorized_keys").is_symlink()


@needs_root
def test_what_runs_in_a_home_has_no_rights_and_an_end(disk: Disk) -> None:
    script = disk.root / "opt/gpustation/scripts/probe.sh"
    script.write_text(
        '. "$(dirname "$0")/runner/record.sh"\n'
        '. "$(dirname "$0")/home/as_owner.sh"\n'
        "home_seconds=1\n"
        "rights='Cap(Prm|Eff|Bnd)|NoNew'\n"
        'as_owner "$home" sh -c "id -u; id -G; grep -E \'$rights\' /proc/self/status; env"\n'
        'echo "$owner_output"\n'
        'as_owner "$home" sleep 60 || echo "$owner_output"\n'
        # A process that outlives its parent holds nothing that root waits for
        'as_owner "$home" sh -c "sleep 30 & echo left"; echo "$owner_output"\n'
        'as_owner "$home" printf "a\\033[2Jb\\nc\\342\\200\\256"; echo "$owner_output"\n'
    )
    begun = time.monotonic()
    assert disk.run("probe.sh") == 0, disk.output
    assert time.monotonic() - begun < 30, "it waited for the sleeper"
    rights, slow, left, odd = disk.output.splitlines()
    assert rights.split()[:10] == [
        *(str(PERSON), str(PERSON)),
        *("CapPrm:", "0" * 16, "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"),
    ]
    assert "GPUSTATION" not in rights
    assert slow == "it did not end within 1 s"
    assert left == "left"
    assert odd == "a [2Jb c"


HOME = re.compile(r"\$\{?(home|folder|HOME)\b|/home/|/root/|~")
CHANGES = re.compile(
    r"(^|[\s;&|(])(mkdir|cp|mv|chown|chmod|rm|ln|install|touch|tee|cat|head|sed)\s|>"
)
ALLOWED = {
    "home/as_owner.sh": "is how it is done",
    "image.sh": "lists what is there, and gives it to as_owner to remove",
}


def test_nothing_else_in_userdata_touches_a_home() -> None:
    """Each line of bash that names a home and reads or changes files goes through as_owner."""
    found = []
    for path in sorted(USERDATA.rglob("*")):
        name = str(path.relative_to(USERDATA))
        if not (path.suffix == ".sh" or path.name == "gpustation-jupyter-url") or name in ALLOWED:
            continue
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            code = re.sub(r"(^|\s)#.*|2>&1|>&2|2>/dev/null|>/dev/null", " ", line)
            if HOME.search(code) and CHANGES.search(code) and "as_owner" not in code:
                found.append(f"{name}: {line.strip()}")
    assert found == []
    assert HOME.search('chown x "$home/y"') and CHANGES.search('chown x "$home/y"')
    assert CHANGES.search('echo x >"$home/y"')


def test_another_frameworks_notebooks_make_room_and_keep_what_is_in_them(disk: Disk) -> None:
    """``install.sh --framework pytorch`` after ``mxnet``."""
    assert disk.run("phases/40-fetch-notebooks/phase.sh", framework="mxnet") == 0, disk.output
    book = disk.home / "d2l/chapter_preliminaries"
    for path in (disk.home / "gpu-starter.ipynb", book / "ndarray.ipynb"):
        assert '"name": "mxnet"' in path.read_text()
    (book / "mine.txt").write_text("work")
    assert disk.run("phases/40-fetch-notebooks/phase.sh", framework="pytorch") == 0, disk.output
    for path in (disk.home / "gpu-starter.ipynb", book / "ndarray.ipynb"):
        assert '"name": "pytorch"' in path.read_text()
    assert (disk.home / "d2l-mxnet/chapter_preliminaries/mine.txt").read_text() == "work"
    assert '"name": "mxnet"' in (disk.home / "gpu-starter-mxnet.ipynb").read_text()
    # Back again: nothing is lost, and what has no room stays where it is
    assert disk.run("phases/40-fetch-notebooks/phase.sh", framework="mxnet") == 0, disk.output
    assert '"name": "mxnet"' in (disk.home / "gpu-starter.ipynb").read_text()
    assert (disk.home / "gpu-starter-pytorch.ipynb").exists()
    assert (disk.home / "d2l-mxnet/chapter_preliminaries/mine.txt").read_text() == "work"
