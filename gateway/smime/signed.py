"""SignedData (RFC 5652 §5) of strangers, taken apart. Nothing in it is checked here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.smime.cms import (
    CONSTRUCTED,
    MAX_DEPTH,
    MAX_ELEMENTS,
    Algorithm,
    Identifier,
    algorithm,
    identifier,
    integer,
    octets,
    refused,
    unreadable,
)
from pki import ber
from pki import der_writing as der
from pki.ber import Element
from pki.errors import StructureRefused

# What a mail needs, many times over: each signer and certificate costs the reader time (L11).
MAX_SIGNERS, MAX_CERTIFICATES, MAX_CRLS = 32, 500, 100

_CERTIFICATES, _CRLS = 0xA0, 0xA1  # [0] and [1] IMPLICIT
_SIGNED, _UNSIGNED = 0xA0, 0xA1


@dataclass(frozen=True, slots=True)
class Attribute:
    """RFC 5652 §5.3. values: as they stand."""

    oid: str
    values: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class SignedAttributes:
    """The signed attributes, in the order they came.

    element: the [0] that they stand in.
    """

    attributes: tuple[Attribute, ...]
    element: Element

    def all(self, oid: str) -> list[Attribute]:
        """Those of one type."""
        return [one for one in self.attributes if one.oid == oid]

    def encodings(self) -> Iterator[bytes]:
        """What was hashed: DER of the attributes as SET OF, not as the [0] that was sent (§5.4).

        First the octets that came, with that one tag changed, where their length is definite:
        nearly always they are DER. Where they are not, the DER which they should have been
        follows. Both say the same attributes, which are those that get checked, so a signature
        over either was made for them. Senders that leave the order of X.690 §11.6 and sign what
        they send are the reason for the first, senders of BER that sign DER for the second. What
        cannot be written in DER (an OCTET STRING whose pieces are something else) has none.
        """
        received = b"\x31" + self.element.raw[1:]
        if self.element.definite:
            yield received
        try:
            proper = b"\x31" + _der(self.element, sort=True)[1:]
        except ValueError:
            return
        if proper != received or not self.element.definite:
            yield proper


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """RFC 5652 §5.3. signed: None where the SignerInfo has no signed attributes."""

    version: int
    identifier: Identifier
    digest: Algorithm
    signed: SignedAttributes | None
    algorithm: Algorithm
    signature: bytes
    unsigned: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class SignedData:
    """RFC 5652 §5.1.

    content: octets of the encapsulated content, None where it is detached. certificates, crls: DER
    as it came. other_certificates, other_crls: how many there are of kinds nobody here reads.
    """

    version: int
    digests: tuple[Algorithm, ...]
    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    other_certificates: int
    crls: tuple[bytes, ...]
    other_crls: int
    signers: tuple[SignerInfo, ...]


def read_signed(content: Element) -> SignedData:
    """Take a SignedData apart; `content` is that of a ContentInfo. Raises StructureRefused."""
    try:
        return _signed_data(content.expect(ber.SEQUENCE))
    except StructureRefused:
        raise
    except ValueError as error:
        raise unreadable(error) from None


def _signed_data(signed: Element) -> SignedData:
    rest = list(signed.children[3:])
    certificates = rest.pop(0) if rest and rest[0].tag == _CERTIFICATES else None
    crls = rest.pop(0) if rest and rest[0].tag == _CRLS else None
    if len(rest) != 1:
        raise refused("a SignedData has more or fewer parts than it may have")
    infos = rest[0].expect(ber.SET).children
    if len(infos) > MAX_SIGNERS:
        raise StructureRefused("limits.signers", "more than {limit} signers", limit=MAX_SIGNERS)
    content_type, content = _encapsulated(signed[2])
    known, other = _split(certificates)
    if len(known) > MAX_CERTIFICATES:
        raise StructureRefused(
            "limits.certificates", "more than {limit} certificates", limit=MAX_CERTIFICATES
        )
    known_crls, other_crls = _split(crls)
    if len(known_crls) > MAX_CRLS:
        raise StructureRefused("limits.crls", "more than {limit} CRLs", limit=MAX_CRLS)
    return SignedData(
        version=integer(signed[0]),
        digests=tuple(algorithm(one) for one in signed[1].expect(ber.SET)),
        content_type=content_type,
        content=content,
        certificates=known,
        other_certificates=other,
        crls=known_crls,
        other_crls=other_crls,
        signers=tuple(map(_signer_info, infos)),
    )


def _encapsulated(info: Element) -> tuple[str, bytes | None]:
    """EncapsulatedContentInfo (RFC 5652 §5.2)."""
    parts = info.expect(ber.SEQUENCE).children
    content_type = ber.dotted(info[0])
    if len(parts) == 1:
        return content_type, None
    explicit = info[1].expect(CONSTRUCTED)
    if len(parts) != 2 or len(explicit.children) != 1:
        raise refused("an EncapsulatedContentInfo has more parts than it may have")
    inner = explicit[0]
    if inner.tag & ~ber.CONSTRUCTED != ber.OCTET_STRING:
        # RFC 5652 §5.2.1 tells how PKCS #7 1.5 hashed other things. No mail ever held one.
        raise StructureRefused(
            "structure.content", "the signed content is no OCTET STRING but of an older PKCS #7"
        )
    return content_type, octets(inner)


def _split(choices: Element | None) -> tuple[tuple[bytes, ...], int]:
    """CertificateSet, RevocationInfoChoices (§10.2.1, §10.2.3): X.509 ones, and how many others."""
    if choices is None:
        return (), 0
    known = tuple(one.raw for one in choices if one.tag == ber.SEQUENCE)
    return known, len(choices.children) - len(known)


def _signer_info(info: Element) -> SignerInfo:
    rest = list(info.expect(ber.SEQUENCE).children[3:])
    signed = rest.pop(0) if rest and rest[0].tag == _SIGNED else None
    unsigned = rest.pop() if rest and rest[-1].tag == _UNSIGNED else None
    if len(rest) != 2:
        raise refused("a SignerInfo has more or fewer parts than it may have")
    attributes = None
    if signed is not None:
        attributes = SignedAttributes(_attributes(signed), signed)
    return SignerInfo(
        version=integer(info[0]),
        identifier=identifier(info[1]),
        digest=algorithm(info[2]),
        signed=attributes,
        algorithm=algorithm(rest[0]),
        signature=octets(rest[1]),
        unsigned=() if unsigned is None else _attributes(unsigned),
    )


def _attributes(attributes: Element) -> tuple[Attribute, ...]:
    found = []
    for one in attributes:
        if len(one.expect(ber.SEQUENCE).children) != 2:
            raise refused("an attribute has two parts")
        found.append(Attribute(ber.dotted(one[0]), tuple(one[1].expect(ber.SET).children)))
    return tuple(found)


def _der(element: Element, *, sort: bool = False) -> bytes:
    """An element with minimal lengths, strings in one piece and each SET in order (X.690 §10, §11).

    As deep as `cms.read` allows, which is not deep. Raises ValueError for pieces of an OCTET STRING
    that are none.
    """
    if not element.tag & ber.CONSTRUCTED:
        return der.element(element.tag, element.content)
    if element.tag == ber.OCTET_STRING | ber.CONSTRUCTED:
        return der.octets(octets(element))
    parts = [_der(child) for child in element]
    if sort or element.tag == ber.SET:
        parts.sort()
    return der.element(element.tag, *parts)


def parses_as_attributes(content: bytes) -> bool:
    """Whether octets are a SET OF Attribute, and so what a signer hashes for signed attributes.

    Where a SignerInfo has none, such content may be the attributes of another message, moved into
    the content together with the signature over them (threat S10). Never raises.
    """
    if content[:1] != b"\x31":
        return False
    try:
        # Within the bounds that the attributes were read in where they came from.
        found = ber.read(content, max_depth=MAX_DEPTH, max_elements=MAX_ELEMENTS)
        return bool(found.children) and bool(_attributes(found))
    except ValueError:
        return False
