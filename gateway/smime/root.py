"""Which S/MIME layer a MIME entity is, and where its octets lie (RFC 8551 §3, RFC 1847). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.mime import transfer
from gateway.mime.entity import Message, split, with_crlf
from gateway.mime.parameters import ContentType, content_type, text_parameter, transfer_encoding
from gateway.mime.parts import find_parts
from gateway.smime.coverage import (
    around_problem,
    content_problem,
    header_problem,
    signature_problem,
)
from pki.errors import Problem, problem

_PKCS7_MIME = ("pkcs7-mime", "x-pkcs7-mime")
_PKCS7_SIGNATURE = ("pkcs7-signature", "x-pkcs7-signature")
SIGNATURE_PROTOCOLS = tuple(f"application/{sub}".encode() for sub in _PKCS7_SIGNATURE)
_BEGIN = re.compile(rb"^-----BEGIN (PKCS7|CMS)-----\s", re.MULTILINE)
_EXPLANATION = 1 << 16  # octets of text before it


@dataclass(frozen=True, slots=True)
class ClearSigned:
    """multipart/signed. content: the first part, octet for octet, without the CRLF that belongs to
    the delimiter behind it. cms: of the second. coverage: why it does not cover all there is.
    """

    content: bytes
    cms: bytes
    coverage: Problem | None


@dataclass(frozen=True, slots=True)
class Opaque:
    """application/pkcs7-mime, or bare CMS. coverage: as of ClearSigned."""

    cms: bytes
    coverage: Problem | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """It says that it is multipart/signed with S/MIME, and is not (RFC 1847 §2.1)."""

    problem: Problem


Root = ClearSigned | Opaque | Broken


def bare_cms(data: bytes) -> bytes | None:
    """The octets of a file that is CMS and no mail (DER, BER, PEM), or None.

    Text may stand before PEM (RFC 7468 §2), unless it begins as a mail does, with a header field:
    what stands in a mail is part of the mail.
    """
    if data[:1] == b"\x30":
        return data
    first = data.find(b"-----BEGIN ", 0, _EXPLANATION)  # which nearly no mail has, and is quick
    begin = None if first < 0 else _BEGIN.search(data, first, _EXPLANATION)
    if begin is None:
        return None
    text = split(with_crlf(data[: begin.start()].lstrip())).fields
    if text and text[0].name:
        return None
    end = data.find(b"-----END " + begin[1], begin.end())
    return transfer.decode_base64(data[begin.end() : end if end >= 0 else len(data)])


def root_of(message: Message, kind: ContentType | None = None) -> Root | None:
    """The layer that an entity is; None for one that is not S/MIME. Never raises.

    kind: its media type, where it was read before.
    """
    kind = kind or content_type(message.fields)
    if is_opaque(kind):
        octets = transfer.decode(message.body, transfer_encoding(message.fields))
        return Opaque(octets, header_problem(message, kind))
    if (kind.main, kind.sub) == ("multipart", "signed"):
        return _clear_signed(message, kind)
    return None


def is_opaque(kind: ContentType) -> bool:
    """Whether a media type is CMS with everything inside (RFC 8551 §3.2)."""
    return kind.main == "application" and (
        kind.sub in _PKCS7_MIME
        or (
            # RFC 8551 §3.2.1: some senders know no better type
            kind.sub == "octet-stream"
            and text_parameter(kind.parameters, "name").lower().endswith(".p7m")
        )
    )


def _clear_signed(message: Message, kind: ContentType) -> ClearSigned | Broken | None:
    """By the protocol parameter, and where it is missing by the second part."""
    body = message.raw  # not copied: it may be a mail of 100 MB
    begin = len(body) - len(message.body)
    boundary = kind.parameters.get("boundary", b"")
    # An empty one would find a part behind every line that is "-- ", as signatures of people have.
    parts = find_parts(body, begin, len(body) if boundary else begin, boundary)
    second = split(body[slice(*parts.spans[1])]) if len(parts.spans) > 1 else None
    inner = content_type(second.fields) if second else ContentType()
    signs = inner.main == "application" and inner.sub in _PKCS7_SIGNATURE
    protocol = kind.parameters.get("protocol", b"").lower()
    if protocol not in SIGNATURE_PROTOCOLS and (protocol or not signs):
        return None
    if second is None or len(parts.spans) != 2 or not signs:
        return Broken(
            problem(
                "coverage.parts",
                "a signed mail has two parts, of which the second is the signature; "
                "this one has {count}",
                count=str(len(parts.spans)),
            )
        )
    start, end = parts.spans[0]
    return ClearSigned(
        body[start:end],
        transfer.decode(second.body, transfer_encoding(second.fields)),
        header_problem(message, kind)
        or around_problem(body, parts)
        or content_problem(body, parts.spans[0], boundary)
        or signature_problem(second, inner, boundary),
    )
