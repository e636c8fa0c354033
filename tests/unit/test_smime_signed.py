"""SignedData taken apart: BER and DER, odd shapes, and shapes made to cost time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.smime import algorithms, cms
from gateway.smime.layers import verify
from gateway.smime.signed import MAX_SIGNERS, SignedData, parses_as_attributes, read_signed
from gateway.smime.verdicts import Status
from gateway.smime.wrapping import pkcs7_mime
from pki import der_writing as der
from pki.errors import StructureRefused
from tests.pace import at_most
from tests.unit.cms_forger import (
    ENTITY,
    alice,
    attributes_for,
    clear_signed,
    codes,
    mail,
    rules,
    signed_data,
    signer_info,
    status,
)


def read(data: bytes) -> SignedData:
    return read_signed(cms.content_info(data).content)


def ber(data: bytes) -> bytes:
    """The same structure with indefinite lengths and OCTET STRINGs in pieces."""

    def encoded(element: cms.Element) -> bytes:
        if element.tag & 0x20:
            inner = b"".join(map(encoded, element.children))
            return bytes((element.tag, 0x80)) + inner + b"\0\0"
        if element.tag == der.OCTET_STRING and len(element.content) > 8:
            middle = len(element.content) // 2
            pieces = (element.content[:middle], element.content[middle:])
            return b"\x24\x80" + b"".join(map(der.octets, pieces)) + b"\0\0"
        return element.raw

    return encoded(cms.read(data))


def test_all_parts() -> None:
    who = alice()
    found = read(signed_data([signer_info(who)], [who.certificate], content=ENTITY))

    assert (found.version, found.content_type, found.content) == (1, algorithms.DATA, ENTITY)
    assert found.certificates == (who.certificate,)
    assert (found.other_certificates, found.crls, found.other_crls) == (0, (), 0)
    (info,) = found.signers
    assert info.signed is not None
    assert [one.oid for one in info.signed.attributes] == [
        algorithms.CONTENT_TYPE,
        algorithms.MESSAGE_DIGEST,
    ]
    assert tuple(info.signed.encodings()) == (der.set_of(attributes_for(who, ENTITY)),)


def test_certificates_of_other_kinds_are_counted() -> None:
    data = signed_data([], [b"\xa1\x00", b"\xa3\x00", alice().certificate])

    found = read(data)

    assert (len(found.certificates), found.other_certificates) == (1, 2)


def test_attributes_in_ber_are_hashed_as_der() -> None:
    """RFC 5652 §5.4: whatever was sent. Certificates stay as they came: they are signed."""
    who = alice()
    info = ber(signer_info(who))
    data = signed_data([info], [who.certificate, *who.chain], content=ENTITY)

    (found,) = read(data).signers

    assert found.signed is not None
    assert tuple(found.signed.encodings()) == (der.set_of(attributes_for(who, ENTITY)),)
    assert status(mail(pkcs7_mime("signed-data", data))) == "valid"


def test_content_in_pieces() -> None:
    who = alice()
    inner = der.sequence(der.oid(algorithms.DATA), der.element(0xA0, der.octets(ENTITY)))
    data = signed_data([signer_info(who)], [who.certificate, *who.chain], encapsulated=ber(inner))

    assert read(data).content == ENTITY
    assert status(mail(pkcs7_mime("signed-data", data))) == "valid"


def test_content_that_is_no_octet_string() -> None:
    inner = der.sequence(der.oid(algorithms.DATA), der.element(0xA0, der.sequence()))
    data = signed_data([signer_info(alice())], [alice().certificate], encapsulated=inner)

    with pytest.raises(StructureRefused) as refused:
        read(data)
    assert refused.value.problem.code == "structure.content"


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        der.integer(1),
        der.integer(1) + der.element(der.SET),
        der.integer(1) + der.element(der.SET) + der.sequence(),
        der.integer(1) + der.element(der.SET) + der.sequence(der.oid(algorithms.DATA)),
    ],
)
def test_what_is_missing_is_refused(inner: bytes) -> None:
    data = der.sequence(der.oid(algorithms.SIGNED_DATA), der.element(0xA0, der.sequence(inner)))

    with pytest.raises(StructureRefused):
        read(data)


def test_what_is_too_much_is_refused() -> None:
    good = cms.content_info(signed_data([], [])).content
    for more in (der.sequence(), der.element(der.SET), der.element(0xA0), der.octets(b"")):
        data = der.sequence(
            der.oid(algorithms.SIGNED_DATA),
            der.element(0xA0, der.sequence(good.content, more)),
        )
        with pytest.raises(StructureRefused):
            read(data)


def test_what_parses_as_attributes() -> None:
    good = der.set_of(attributes_for(alice(), ENTITY))

    assert parses_as_attributes(good)
    for other in (b"", b"1", b"\x31\x00", good[1:], good + b"\0", b"\x30" + good[1:], ENTITY):
        assert not parses_as_attributes(other)


# -- what is made to cost time (L11) -------------------------------------------------------


def _many_signers() -> bytes:
    return signed_data([signer_info(alice())] * 1000, [alice().certificate], content=ENTITY)


def _signers_up_to_the_limit() -> bytes:
    infos = [signer_info(alice()) + b""] * MAX_SIGNERS
    return signed_data(infos, [alice().certificate, *alice().chain], content=ENTITY)


def _certificates() -> bytes:
    decoys = [der.sequence(der.integer(number), bytes(4000)) for number in range(400)]
    return signed_data([signer_info(alice())], [*decoys, alice().certificate], content=ENTITY)


def _too_many_certificates() -> bytes:
    decoys = [der.sequence(der.integer(number)) for number in range(10_000)]
    return signed_data([signer_info(alice())], decoys, content=ENTITY)


def _attributes() -> bytes:
    many = [der.sequence(der.oid(f"1.2.{n}"), der.element(der.SET)) for n in range(20_000)]
    info = signer_info(alice(), attributes_for(alice(), ENTITY, *many))
    return signed_data([info], [alice().certificate, *alice().chain], content=ENTITY)


def _nested() -> bytes:
    inner = der.sequence()
    for _ in range(2000):
        inner = der.sequence(inner)
    return inner


def _deep() -> bytes:
    attributes = attributes_for(alice(), ENTITY, der.sequence(der.oid("1.2.3"), _nested()))
    return signed_data([signer_info(alice(), attributes)], [alice().certificate], content=ENTITY)


@pytest.mark.parametrize(
    "make",
    [
        _many_signers,
        _signers_up_to_the_limit,
        _certificates,
        _too_many_certificates,
        _attributes,
        _deep,
    ],
)
def test_a_structure_made_to_cost_time(make: Callable[[], bytes]) -> None:
    message = mail(pkcs7_mime("signed-data", make()))
    given = rules()

    with at_most(2):
        found = verify(message, given)

    assert found.status in (Status.VALID, Status.INVALID, Status.MALFORMED)


def test_what_stands_among_the_certificates_and_is_none_does_no_harm() -> None:
    """Certificates are taken apart one by one; one that cannot be is nobody's."""
    people = [_nested(), alice().certificate, *alice().chain]
    assert status(mail(pkcs7_mime("signed-data", signed_data(
        [signer_info(alice())], people, content=ENTITY
    )))) == "valid"  # fmt: skip


def test_limits_are_named() -> None:
    assert codes(mail(pkcs7_mime("signed-data", _many_signers()))) == {"limits.signers"}
    many = _too_many_certificates()
    assert codes(mail(pkcs7_mime("signed-data", many))) == {"limits.certificates"}


# -- any change anywhere -------------------------------------------------------------------

_MAIL = mail(clear_signed())
_RULES = rules()


@settings(max_examples=300)
@given(
    at=st.integers(0, len(_MAIL) - 1),
    gone=st.integers(0, 40),
    instead=st.binary(max_size=40),
)
def test_whatever_is_changed_the_content_or_the_verdict_stays(
    at: int, gone: int, instead: bytes
) -> None:
    """Header fields and the wrapping may change; what is shown as Alice's may not."""
    found = verify(_MAIL[:at] + instead + _MAIL[at + gone :], _RULES)

    if found.status is Status.VALID:
        assert found.payload == ENTITY
        assert found.authors == ("alice@example.org",)
