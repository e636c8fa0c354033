"""Files with several certificates or CRLs: each is cut out, none is lost in silence."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pki import bundle
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from tests.pki_maker import root

TOP = root()
ONE, TWO = TOP.issue("One"), TOP.issue("Two")


def test_pem_blocks_in_their_order_with_text_and_keys_between() -> None:
    data = b"Bag Attributes\n" + TWO.pem + ONE.key_pem + b"subject=One\r\n" + ONE.pem

    assert bundle.certificates(data) == (TWO.der, ONE.der)


def test_windows_line_ends_and_no_last_one() -> None:
    assert bundle.certificates(ONE.pem.replace(b"\n", b"\r\n").rstrip()) == (ONE.der,)


@pytest.mark.parametrize(
    "broken",
    [
        ONE.pem[:-80],  # cut short: not closed
        ONE.pem[:60] + b"!" + ONE.pem[60:],  # not base64
    ],
)
def test_a_broken_block_is_handed_on_to_be_refused_and_the_others_stay(broken: bytes) -> None:
    first, second = bundle.certificates(TWO.pem + broken)

    assert first == TWO.der
    with pytest.raises(CertificateRefused):
        ParsedCertificate(second)


def test_der() -> None:
    assert bundle.certificates(ONE.der) == (ONE.der,)


def test_certificates_of_a_signed_message_in_ber(tmp_path: Path) -> None:
    (tmp_path / "one.pem").write_bytes(ONE.pem + ONE.key_pem)
    (tmp_path / "top.pem").write_bytes(TOP.pem)
    (tmp_path / "text").write_bytes(b"text")
    subprocess.run(
        ["openssl", "cms", "-sign", "-nodetach", "-stream", "-signer", "one.pem",
         "-certfile", "top.pem", "-in", "text", "-outform", "DER", "-out", "message.p7m"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    data = (tmp_path / "message.p7m").read_bytes()

    assert data[:2] == b"\x30\x80"  # indefinite length
    assert set(bundle.certificates(data)) == {ONE.der, TOP.der}


@pytest.mark.parametrize("data", [b"", b"hello", ONE.key_pem, b"-----BEGIN PKCS7-----\nMAA=\n"])
def test_a_file_without_a_certificate(data: bytes) -> None:
    with pytest.raises(ValueError):
        bundle.certificates(data)


def test_crls() -> None:
    der = TOP.crl()

    assert bundle.crls(der) == (der,)
    with pytest.raises(ValueError):
        bundle.crls(ONE.pem)
