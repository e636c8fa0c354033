"""EnvelopedData and AuthEnvelopedData of strangers, taken apart (RFC 5652 §6, RFC 5083). Pure.

Nothing is opened here, and nothing depends on a key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.smime.algorithms import AUTH_ENVELOPED_DATA, CONTENT_TYPE, ENVELOPED_DATA
from gateway.smime.cms import (
    CONSTRUCTED,
    CONTEXT,
    Algorithm,
    ContentInfo,
    algorithm,
    refused,
    unreadable,
)
from gateway.smime.recipients import RecipientInfo, recipient_info
from pki import ber
from pki import der_writing as der
from pki.ber import Element
from pki.errors import StructureRefused


@dataclass(frozen=True, slots=True, repr=False)
class Enveloped:
    """What is encrypted, and the ways to its key.

    authenticated: AuthEnvelopedData. content_type: of what is inside, dotted. ciphertext: in the
    pieces in which it came, views into the message. tag: the mac, None in EnvelopedData.
    attributes: authAttrs as they are authenticated, a SET OF; empty where there are none.
    """

    authenticated: bool
    recipients: tuple[RecipientInfo, ...]
    content_type: str
    algorithm: Algorithm
    ciphertext: tuple[memoryview, ...]
    tag: bytes | None
    attributes: bytes

    def __repr__(self) -> str:
        return f"<Enveloped for {len(self.recipients)} recipients>"

    @property
    def size(self) -> int:
        """Octets of the ciphertext."""
        return sum(map(len, self.ciphertext))


def read_enveloped(content: ContentInfo) -> Enveloped:
    """Take one apart. Raises StructureRefused, also for content that is not encrypted."""
    if content.type not in (ENVELOPED_DATA, AUTH_ENVELOPED_DATA):
        raise StructureRefused(
            "structure.not-encrypted", "this is not encrypted, but of the type {type}",
            type=content.type,
        )  # fmt: skip
    try:
        return _read(content.content.expect(ber.SEQUENCE), content.type == AUTH_ENVELOPED_DATA)
    except StructureRefused:
        raise
    except ValueError as error:
        raise unreadable(error) from None


def _read(enveloped: Element, authenticated: bool) -> Enveloped:
    parts = list(enveloped.children)
    if not parts or parts.pop(0).tag != ber.INTEGER:
        raise refused("the version is missing")
    if parts and parts[0].tag == CONSTRUCTED:
        parts.pop(0)  # originatorInfo: certificates that nothing here needs
    if len(parts) < 2:
        raise refused("recipients or content are missing")
    recipients = tuple(map(recipient_info, parts.pop(0).expect(ber.SET)))
    content_type, cipher, ciphertext = _encrypted_content(parts.pop(0))
    attributes, tag = b"", None
    if authenticated:
        if parts and parts[0].tag == CONSTRUCTED | 1:
            attributes = _authenticated(parts.pop(0), content_type)
        if not parts:
            raise refused("the mac is missing")
        tag = b"".join(_pieces(parts.pop(0), ber.OCTET_STRING))
    if parts and parts[0].tag == CONSTRUCTED | (2 if authenticated else 1):
        parts.pop(0)  # unprotected attributes: whoever handled the message may have written them
    if parts:
        raise refused("there is more than there may be")
    return Enveloped(
        authenticated, recipients, content_type, cipher, ciphertext, tag, attributes
    )  # fmt: skip


def _encrypted_content(info: Element) -> tuple[str, Algorithm, tuple[memoryview, ...]]:
    """EncryptedContentInfo (RFC 5652 §6.1)."""
    parts = info.expect(ber.SEQUENCE).children
    if len(parts) != 3:
        # Two parts are ciphertext that travels elsewhere; no mail does that (RFC 8551 §3.3).
        raise refused("the ciphertext is missing")
    return ber.dotted(parts[0]), algorithm(parts[1]), tuple(_pieces(parts[2], CONTEXT))


def _pieces(element: Element, tag: int) -> Iterator[memoryview]:
    """The pieces of an OCTET STRING as `cms.octets` would join them: a mail may have 100 MB."""
    data = memoryview(element.data)
    if element.tag == tag:
        yield data[element.body : element.stop]
        return
    if element.tag != tag | ber.CONSTRUCTED:
        raise element.unexpected()
    waiting = list(reversed(element.children))
    while waiting:
        piece = waiting.pop()
        if piece.tag == ber.OCTET_STRING | ber.CONSTRUCTED:
            waiting += reversed(piece.children)
        else:
            piece.expect(ber.OCTET_STRING)
            yield data[piece.body : piece.stop]


def _authenticated(attributes: Element, content_type: str) -> bytes:
    """authAttrs as additional authenticated data: DER, tagged SET OF (RFC 5083 §2.2).

    The octets that came, with the one tag exchanged. Senders MUST write DER here; where one wrote
    BER and authenticated DER, the tag cannot fit, and the message is one that does not open. An
    indefinite length is never DER. A contentType among them says what the ciphertext is
    (RFC 5083 §2.1): one that says otherwise is a lie about it.
    """
    if not attributes.definite:
        raise refused("the authenticated attributes are not in DER")
    for one in attributes:
        kind, values = one.expect(ber.SEQUENCE)[0], one[1].expect(ber.SET)
        if ber.dotted(kind) == CONTENT_TYPE and (
            len(values.children) != 1 or ber.dotted(values[0]) != content_type
        ):
            raise refused("the authenticated content type is another one")
    return der.header(der.SET, attributes.stop - attributes.body) + attributes.content
