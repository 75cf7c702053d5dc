"""What is taken as a public key: that which sshd takes, from whatever a program wrote it into.

The verdicts on RSA sizes, ed25519 lengths and padding were compared with ``ssh-keygen -l`` of
OpenSSH 9.2; those on curves, DSA, certificates and security keys follow the documented formats.
"""

import base64
import os
from pathlib import Path

import pytest

from gpustation.settings.public_key import MAX_FILE_BYTES, MAX_KEY_CHARACTERS, read_public_key
from gpustation.settings.read import read_settings


def key(*fields: bytes) -> str:
    """The line of a key of these fields, without a comment."""
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"{fields[0].decode()} {base64.b64encode(blob).decode()}"


def rsa(bits: int) -> str:
    return key(b"ssh-rsa", b"\1\0\1", b"\0" + ((1 << bits - 1) | 1).to_bytes(-(-bits // 8), "big"))


def ecdsa(curve: bytes, size: int, *, first: bytes = b"\4", named: bytes = b"") -> str:
    point = first + b"\x0d" * (size - 1)
    return key(b"ecdsa-sha2-" + curve, named or curve, point)


BODY = b"\x0d" * 32
ED25519 = key(b"ssh-ed25519", BODY)
SK_ECDSA = b"sk-ecdsa-sha2-nistp256@openssh.com"


@pytest.mark.parametrize(
    "line",
    [
        ED25519,
        rsa(1024),
        rsa(3072),
        rsa(16384),
        ecdsa(b"nistp256", 65),
        ecdsa(b"nistp384", 97),
        ecdsa(b"nistp521", 133),
        key(b"sk-ssh-ed25519@openssh.com", BODY, b"ssh:"),
        key(SK_ECDSA, b"nistp256", b"\4" + BODY * 2, b"ssh:work"),
    ],
    ids=lambda line: line.split()[0],
)
def test_what_sshd_takes_is_taken(line: str) -> None:
    assert read_public_key(line).line == line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (rsa(1016), "of 1016 bits, but sshd accepts 1024 to 16384; create another"),
        (rsa(16385), "of 16385 bits"),
        (key(b"ssh-rsa", b"\1\0\1", b"\xff" * 256), "not a complete ssh-rsa key"),
        (key(b"ssh-rsa", b"\1\0\1"), "not a complete"),
        (key(b"ssh-dss", b"p", b"q", b"g", b"y"), "DSA key, which sshd refuses since OpenSSH 7.0"),
        (
            key(b"ssh-ed448", b"\x0d" * 57),
            "must begin with a key type that sshd accepts, such as ssh-ed25519;",
        ),
        (key(b"ssh-ed25519-cert-v01@openssh.com", b"x"), "is a certificate; pass the .pub file"),
        (key(b"ssh-ed25519", BODY[1:]), "not a complete ssh-ed25519 key"),
        (key(b"ssh-ed25519", BODY, b"x"), "not a complete"),
        (ED25519[:-4], "not a complete"),
        (ED25519 + "=", "not a complete"),
        ("ssh-rsa " + ED25519.split()[1], "not a complete ssh-rsa key"),
        (ecdsa(b"nistp224", 57), "must begin with a key type"),
        (ecdsa(b"nistp256", 65, named=b"nistp384"), "not a complete"),
        (ecdsa(b"nistp256", 97), "not a complete"),
        (ecdsa(b"nistp256", 65, first=b"\2"), "not a complete"),
        (key(SK_ECDSA, b"nistp256", b"\4" + BODY * 2), "not a complete"),
        ("ssh-ed25519", "not a complete"),
        (f'from="10.0.0.1" {ED25519}', "must begin with a key type"),
        (f"{ED25519}\n{ED25519}", "must be one public key, got 2 lines"),
        ("x" * 300, "neither an OpenSSH public key nor a path"),
    ],
)
def test_fails_with_the_reason_when_sshd_would_refuse_it(line: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_public_key(line)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "AAAA" not in str(refused.value)


@pytest.mark.parametrize(
    ("comment", "kept"),
    [
        ("me@example.com", "me@example.com"),
        ("a_b+c-d.e", "a_b+c-d.e"),
        ("{{resolve:ssm:/prod/database/password}}", "resolvessmproddatabasepassword"),
        ("${Token[TOKEN.99999]}", "TokenTOKEN.99999"),
        ("#{Token[TOKEN.1]}", "TokenTOKEN.1"),
        ("two words", "twowords"),
        ("Jörg", "Jrg"),
        ("{}", ""),
        ("x" * 101, "x" * 100),
    ],
)
def test_of_a_comment_only_harmless_letters_are_kept(comment: str, kept: str) -> None:
    report = read_settings({"public_key": f"{ED25519} {comment}"})
    assert report.faults == ()
    assert report.settings.public_key == f"{ED25519} {kept}".rstrip()
    assert set(report.warnings) == (set() if kept == comment else {"publicKeyComment"})


def test_the_longest_key_fits() -> None:
    assert len(read_public_key(f"{rsa(16384)} {'x' * 100}").line) < MAX_KEY_CHARACTERS
    with pytest.raises(ValueError, match="at most 3000 characters"):
        read_public_key(key(b"sk-ssh-ed25519@openssh.com", BODY, b"x" * 2300))


FILES = {
    "plain": f"{ED25519} me@example\n".encode(),
    "no line end": f"{ED25519} me@example".encode(),
    "windows": f"# mine\r\n\r\n{ED25519} me@example\r\n".encode(),
    "old mac": f"# mine\r{ED25519} me@example\r".encode(),
    "tabs": f"\t{ED25519} me@example".replace(" ", "\t").encode(),
    "bom": f"\ufeff{ED25519} me@example\r\n".encode(),
    "bom and remark": f"\ufeff# mine\r\n{ED25519} me@example\r\n".encode(),
    "utf-16": f"{ED25519} me@example\r\n".encode("utf-16"),
    "utf-16-be": f"\ufeff{ED25519} me@example\r\n".encode("utf-16-be"),
    "latin-1 remark": f"# Schlüssel\n{ED25519} me@example\n".encode("latin-1"),
    "latin-1 comment": f"{ED25519} müe@example\n".encode("latin-1"),
    "utf-8 comment": f"{ED25519} mü\u2028e@example\n".encode(),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_is_read_whatever_wrote_it(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "id.pub"
    file.write_bytes(content)
    report = read_settings({"public_key": str(file)})
    assert report.faults == ()
    assert report.settings.public_key == f"{ED25519} me@example"


@pytest.mark.parametrize("text", [f"\ufeff{ED25519}", f"{ED25519}\r\n", ED25519.replace(" ", "\t")])
def test_a_text_is_read_whatever_wrote_it(text: str) -> None:
    assert read_settings({"public_key": text}).settings.public_key == ED25519


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my keys").mkdir()
    (tmp_path / "my keys" / "id.pub").write_text(ED25519)
    assert read_public_key("~/my keys/id.pub").line == ED25519


def make(place: Path) -> dict[str, str]:
    """Paths that hold no key, and the reason that each is refused with."""
    (place / "folder").mkdir()
    os.mkfifo(place / "pipe")
    (place / "empty").touch()
    (place / "huge").write_text(f"#{'x' * MAX_FILE_BYTES}\n{ED25519}")
    (place / "loop").symlink_to("loop")
    (place / "private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nxxxx")
    (place / "private16").write_text("-----BEGIN EC PRIVATE KEY-----\nxxxx", encoding="utf-16")
    (place / "remarks").write_text("# mine\n")
    return {
        f"{place}/folder": "is a folder",
        f"{place}/pipe": "is a pipe or a device",
        f"{place}/empty": "is an empty file",
        f"{place}/huge": "is larger than 16 KiB",
        f"{place}/loop": "is not a readable file",
        f"{place}/private": "is a private key",
        f"{place}/private16": "is a private key",
        f"{place}/remarks": "must be one public key, got 0 lines",
        f"{place}/gone.pub": "is not an existing file",
        f"{place}/empty/id.pub": "is not an existing file",
        f"{place}/{'x' * 256}.pub": "is neither an OpenSSH public key",
        f"~{'x' * 20}/id.pub": "is not a readable file",
        "/dev/zero": "is a pipe or a device",
        "/dev/null": "is a pipe or a device",
        f"{place}/\0.pub": "is not a readable file",
        f"{place}/\ud800.pub": "is not a readable file",
    }


@pytest.mark.timeout(20)  # a pipe would never end
def test_fails_with_one_line_when_the_path_holds_no_key(tmp_path: Path) -> None:
    for path, reason in make(tmp_path).items():
        (fault,) = read_settings({"public_key": path}).faults
        assert f": {reason}" in fault
        assert fault.isprintable()
        assert ("pass the path of a .pub file" in fault) or ("pass the .pub file" in fault)


def test_fails_when_the_file_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "id.pub").write_text(ED25519)
    (tmp_path / "id.pub").chmod(0)
    before = os.geteuid()
    if before == 0:  # root may read everything
        os.seteuid(65534)
    try:
        (fault,) = read_settings({"public_key": str(tmp_path / "id.pub")}).faults
    finally:
        os.seteuid(before)
    assert "is a file that you may not read" in fault


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="Linux only")
@pytest.mark.timeout(20)
def test_a_file_of_the_kernel_that_never_ends_is_not_read() -> None:
    assert read_settings({"public_key": "/proc/kmsg"}).faults
