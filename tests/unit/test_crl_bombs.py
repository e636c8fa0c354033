"""CRLs that nobody signed and that were made to cost much: refused before they do (threat L9)."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pki.crl_folder import CrlFolder
from pki.crl_receive import receive
from pki.der_writing import element
from pki.errors import CrlRefused
from pki.path import Material
from tests.pace import at_most
from tests.pki_maker import NOW, root

ROOT = root()
RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
POINT, REASON = bytes.fromhex("0603551d1c"), bytes.fromhex("0603551d15")
CRITICAL = b"\x01\x01\xff"
DAYS = element(0x17, b"260530000000Z") + element(0x17, b"260630000000Z")


def unsigned(entries: bytes = b"", extensions: bytes = b"") -> bytes:
    """A CRL of the known CA whose signature is none."""
    name = ROOT.cert.subject.public_bytes()
    body = b"\x02\x01\x01" + RSA_SHA256 + name + DAYS
    if entries:
        body += element(0x30, entries)
    if extensions:
        body += element(0xA0, element(0x30, extensions))
    return element(0x30, element(0x30, body) + RSA_SHA256 + element(0x03, b"\0" + b"x" * 256))


def many_names() -> bytes:
    """Nine million octets of distribution points: 150 MB as objects."""
    names = element(0xA0, element(0xA0, element(0x86, b"http://a/") * 800_000))
    return unsigned(
        extensions=element(0x30, POINT + CRITICAL + element(0x04, element(0x30, names)))
    )


def many_extensions() -> bytes:
    """A million octets of extensions, each another one."""
    oids = (
        b"\x2a" + bytes((0x81 + at // 16384, 0x80 | at // 128 % 128, at % 128))
        for at in range(70_000)
    )
    return unsigned(
        extensions=b"".join(element(0x30, element(0x06, oid) + b"\x04\x02\x05\0") for oid in oids)
    )


def critical_entries_in_pem() -> bytes:
    """Each entry would have to be looked at for what is critical in it."""
    reason = element(0x30, element(0x30, REASON + CRITICAL + b"\x04\x03\x0a\x01\x01"))
    entry = element(0x30, b"\x02\x04\x11\x22\x33\x44" + DAYS[:15] + reason)
    text = base64.encodebytes(unsigned(entries=entry * 150_000))
    return b"-----BEGIN X509 CRL-----\n" + text + b"-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (many_names, "structure.crl"),
        (many_extensions, "structure.crl"),
        (critical_entries_in_pem, "revocation.signature"),
    ],
)
def test_what_nobody_signed_costs_no_more_than_its_digest(make, code: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    bomb, material = make(), Material([ROOT.anchor()])
    with at_most(0.3), pytest.raises(CrlRefused) as refused:
        receive(bomb, "bomb", material=material, moment=NOW, folder=CrlFolder(tmp_path / "index"))
    assert refused.value.problem.code == code
    assert not (tmp_path / "index").exists()
