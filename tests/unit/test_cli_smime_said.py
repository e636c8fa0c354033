"""What `sceau smime verify` shows people of signed attributes (RFC 2634)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest

from gateway.cli.output import Output
from gateway.cli.smime_said import show_said
from gateway.smime import cms, ess
from gateway.smime.signed import Attribute, read_signed
from pki import ber
from pki import der_writing as der
from tests.corpora import corpus


def shown(attributes: Sequence[Attribute], language: str = "en") -> list[str]:
    out = io.StringIO()
    show_said(Output(language=language, out=out), attributes)
    return [line.strip() for line in out.getvalue().splitlines()]


def attribute(oid: str, *values: bytes) -> Attribute:
    return Attribute(oid, tuple(ber.read(value) for value in values))


@pytest.fixture(scope="module")
def of_rfc_4134() -> tuple[Attribute, ...]:
    """Section 4.10: all that there are."""
    info = cms.content_info((corpus("rfc4134/rfc4134") / "4.10.bin").read_bytes())
    (signer,) = read_signed(info.content).signers
    assert signer.signed is not None
    return signer.signed.attributes


def test_labels_hints_and_lists(of_rfc_4134: tuple[Attribute, ...]) -> None:
    lines = shown(of_rfc_4134)

    assert "content hint: Content Hints Description Buffer" in lines
    assert (
        "security label: 1.2.3.4.5.6.7.8, unclassified, “THIS IS A PRIVACY MARK TEST”, "
        "THIS IS A TEST SECURITY-CATEGORY." in lines
    )
    assert sum(line.startswith("equivalent security label: ") for line in lines) == 2
    assert "came through the list 35373338323939 at 1999-03-11T10:44:33Z" in lines
    assert any("étiquette de sécurité : 1.2.3.4.5.6.7.8" in x for x in shown(of_rfc_4134, "fr"))


@pytest.mark.parametrize(
    ("asked", "who"),
    [
        (b"\x80\x01\x00", "all"),
        (b"\x80\x01\x01", "first-tier"),
        (der.element(0xA1, der.sequence(b"\x81\x05a@b.c")), "a@b.c"),
    ],
)
def test_who_is_asked_for_a_receipt(asked: bytes, who: str) -> None:
    to = der.sequence(der.sequence(*(b"\x81\x05%d@b.c" % n for n in range(7))))
    request = der.sequence(der.octets(b"id"), asked, to)

    (line,) = shown([attribute(ess.RECEIPT_REQUEST, request)])
    assert line == f"asks for a receipt from {who}, to 0@b.c, 1@b.c, 2@b.c, 3@b.c, 4@b.c, …"


def test_nobody_writes_a_line_of_ours() -> None:
    hint = der.sequence(der.element(0x0C, b"x\nmail.eml: valid\x1b[2J"), der.oid("1.2.3"))

    (line,) = shown([attribute(ess.CONTENT_HINTS, hint)])
    assert line == "content hint: x\\nmail.eml: valid\\x1b[2J"


def test_what_cannot_be_read_is_said() -> None:
    (line,) = shown([attribute(ess.SECURITY_LABEL, der.integer(1))])
    assert line == "the signed attribute securityLabel cannot be read"


def test_of_what_programs_exchange_nothing_is_shown(of_rfc_4134: tuple[Attribute, ...]) -> None:
    lines = "\n".join(shown(of_rfc_4134))
    assert "Capabilities" not in lines
    assert "messageDigest" not in lines
