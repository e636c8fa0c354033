"""PKCS#12 files as others write them, by openssl: what opens, and what each fault is called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from asn1crypto import pkcs12 as asn1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pki import p12
from pki.errors import PrivateKeyError
from pki.keys import make_signer
from pki.p12 import open_p12
from tests.pki_maker import Issued, root

CA = root()
MARIE = CA.issue("Marie", emails=("marie@a.example",))
CURVE = CA.issue("Marie", emails=("marie@a.example",), kind="ec")
SECRET = b"gehe\xc3\xafm \xe2\x82\xac"  # octets beyond ASCII: BMPString in the older algorithms

# What openssl pkcs12 -export is told, on Debian 12 and before.
WRITERS = {
    "today": (),
    "2010": ("-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES"),
    "rc2-128": ("-legacy", "-keypbe", "PBE-SHA1-RC2-128", "-certpbe", "PBE-SHA1-RC2-128"),
    "3des": ("-legacy", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES"),
    "aes-128": ("-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "sha1"),
    "sha512": ("-macalg", "sha512"),
    "no-mac": ("-nomac",),
    "certificates-in-clear": ("-certpbe", "NONE"),
    "many-rounds": ("-iter", "20000"),
}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


class Made:
    """`openssl pkcs12 -export`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def export(
        self, *options: str, person: Issued = MARIE, key: bool = True, password: bytes = SECRET
    ) -> bytes:
        source, out = self.folder / "in.pem", self.folder / "out.p12"
        source.write_bytes(person.pem + (person.key_pem if key else b"") + CA.pem)
        secret = self.folder / "pass"
        secret.write_bytes(password + b"\n")
        keys = () if key else ("-nokeys",)
        subprocess.run(
            ["openssl", "pkcs12", "-export", "-in", source, "-out", out, *keys,
             "-passout", f"file:{secret}", *options],
            check=True, capture_output=True,
        )  # fmt: skip
        return out.read_bytes()


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("person", [MARIE, CURVE], ids=["rsa", "ec"])
def test_what_openssl_writes_opens(made: Made, writer: str, person: Issued) -> None:
    key, certificates = open_p12(made.export(*WRITERS[writer], person=person), SECRET, "x.p12")

    assert key.public_key() == person.key.public_key()
    assert make_signer("x.p12", key, certificates).certificate == person.der
    assert CA.der in certificates


@pytest.mark.parametrize("writer", WRITERS)
def test_a_wrong_password_is_called_that(made: Made, writer: str) -> None:
    data = made.export(*WRITERS[writer])

    with pytest.raises(PrivateKeyError, match=r"the password for x\.p12 is wrong") as refused:
        open_p12(data, b"guess", "x.p12")
    assert refused.value.problem.code == "decrypt.password"
    with pytest.raises(PrivateKeyError, match="protected by a password, and none is given"):
        open_p12(data, None, "x.p12")


def test_a_file_without_password_and_mac(made: Made) -> None:
    data = made.export("-keypbe", "NONE", "-certpbe", "NONE", "-nomac", password=b"")

    assert open_p12(data, None, "x.p12")[0].public_key() == MARIE.key.public_key()


def test_an_empty_password_is_no_password(made: Made) -> None:
    data = made.export(password=b"")

    assert open_p12(data, None, "x.p12")[0].public_key() == MARIE.key.public_key()


def test_certificates_and_no_key(made: Made) -> None:
    with pytest.raises(PrivateKeyError, match=r"x\.p12 cannot be used: .*holds no private key"):
        open_p12(made.export(key=False), SECRET, "x.p12")


def test_two_keys(made: Made) -> None:
    """No tool asks which one is meant; the library would take one of them silently."""
    options = ("-keypbe", "NONE", "-certpbe", "NONE", "-nomac")
    one = asn1.Pfx.load(made.export(*options, password=b""))
    two = asn1.Pfx.load(made.export(*options, password=b"", person=CURVE))
    both = asn1.AuthenticatedSafe([*one.authenticated_safe, *two.authenticated_safe])
    one["auth_safe"]["content"] = both.dump()

    with pytest.raises(PrivateKeyError, match=r"x\.p12 holds 2 private keys") as refused:
        open_p12(one.dump(force=True), None, "x.p12")
    assert refused.value.problem.code == "structure.several-keys"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-40],
        lambda data: data + b"\0",
        lambda data: b"Subject: hello\n\nhello\n",
        lambda data: MARIE.pem,
        lambda data: MARIE.der,
        lambda data: MARIE.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        lambda data: data[:4] + b"\x02\x01\x01" + data[7:],
    ],
    ids=["empty", "cut", "longer", "text", "pem", "certificate", "bare-key", "version-1"],
)
def test_what_is_no_pkcs12(made: Made, damage: object) -> None:
    with pytest.raises(PrivateKeyError, match=r"x\.p12 cannot be used: it is not a PKCS#12 file"):
        open_p12(damage(made.export()), SECRET, "x.p12")  # type: ignore[operator]


def test_a_changed_octet_is_refused_by_the_mac(made: Made) -> None:
    data = bytearray(made.export())
    data[len(data) // 2] ^= 1

    with pytest.raises(PrivateKeyError):
        open_p12(bytes(data), SECRET, "x.p12")


def test_a_file_cannot_keep_us_busy(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p12, "MAX_ITERATIONS", 10_000)
    data = made.export(*WRITERS["many-rounds"])
    with pytest.raises(PrivateKeyError, match="hashed 60000 times; 10000 are allowed"):
        open_p12(data, SECRET, "x.p12")
    with pytest.raises(PrivateKeyError, match="hashed 40000 times"):
        open_p12(made.export("-nomac", *WRITERS["many-rounds"]), SECRET, "x.p12")
    with pytest.raises(PrivateKeyError, match="larger than"):
        open_p12(data + bytes(p12.MAX_OCTETS), SECRET, "x.p12")


def test_many_parts_cannot_keep_us_busy_either(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each within the limit, opened one after the other: three thousand have room in a file."""
    monkeypatch.setattr(p12, "MAX_ITERATIONS", 50_000)
    file = asn1.Pfx.load(made.export("-nomac", "-certpbe", "AES-256-CBC", "-iter", "2000"))
    parts = list(file.authenticated_safe)
    file["auth_safe"]["content"] = asn1.AuthenticatedSafe([parts[0]] * 40 + parts).dump()
    with pytest.raises(PrivateKeyError) as refused:
        open_p12(file.dump(force=True), SECRET, "x.p12")
    assert refused.value.problem.code == "limits.iterations"


def test_no_fault_shows_password_or_key(made: Made) -> None:
    data = made.export()
    for octets, password in ((data, b"hunter2-wrong"), (data[:-9], SECRET), (b"hunter2", SECRET)):
        with pytest.raises(PrivateKeyError) as refused:
            open_p12(octets, password, "x.p12")
        said = repr(refused.value) + repr(refused.value.problem) + repr(refused.value.__cause__)
        assert "hunter2" not in said
        assert "geheïm" not in said
