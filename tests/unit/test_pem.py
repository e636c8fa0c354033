"""One structure in PEM (RFC 7468)."""

from __future__ import annotations

import pytest

from pki.pem import der_of

BLOCK = b"-----BEGIN X509 CRL-----\r\nMA\r\nAA\n-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    "data",
    [
        BLOCK,
        b"\n \t" + BLOCK,
        BLOCK.replace(b"MA\r\nAA", b"M A A A"),
        BLOCK + b"and what somebody noted below it\n",
        BLOCK.replace(b"X509 CRL", b"CERTIFICATE") + BLOCK,
        BLOCK + BLOCK.replace(b"MA", b"//"),
    ],
)
def test_the_first_block_of_its_label(data: bytes) -> None:
    assert der_of(data, "X509 CRL") == b"\x30\x00\x00"


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"<html>", b"text before " + BLOCK])
def test_what_is_no_pem_is_left_as_it_is(data: bytes) -> None:
    assert der_of(data, "X509 CRL") == data


@pytest.mark.parametrize(
    "data",
    [
        BLOCK.replace(b"X509 CRL", b"CERTIFICATE"),
        BLOCK[: BLOCK.index(b"-----END")],
        BLOCK.replace(b"END X509 CRL", b"END CERTIFICATE"),
        b"-----BEGIN CERTIFICATE-----\n-----END X509 CRL-----\n",
        BLOCK.replace(b"MA", b"M\xff="),
        BLOCK.replace(b"MA", b"M"),
    ],
)
def test_a_broken_block(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"no X509 CRL|base64|padding"):
        der_of(data, "X509 CRL")
