"""GeneralName and other ways to name somebody (RFC 5280 §4.2.1.6), as plain data. Pure."""

from __future__ import annotations

from typing import Any

from gateway.smime import cms
from pki import ber
from pki.ber import Element
from pki.names import name_text_of

_SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"  # RFC 9598 §3
_UTF8_STRING = 0x0C
_OCTETS = 8192  # the signatures of ML-DSA-87 have 4627
_TEXTS = {0x81: "email", 0x82: "dns", 0x86: "uri"}


def general_names(element: Element, limit: int) -> list[dict[str, str]]:
    """GeneralNames, each with its kind as only key. Raises ValueError, also for more than limit."""
    names = element.children
    if not 1 <= len(names) <= limit:
        raise ValueError("there are no names, or too many")
    return [general_name(name) for name in names]


def general_name(element: Element) -> dict[str, str]:
    """`email`, `dns`, `uri`, `directory` (RFC 4514); `other` (hex) for all else.

    An address is shown as it stands: it is compared nowhere here. Raises ValueError.
    """
    kind = _TEXTS.get(element.tag)
    if kind is not None:
        return {kind: _text(element.content, "ascii")}
    if element.tag == 0xA4:  # [4], EXPLICIT as Name is a CHOICE
        return {"directory": name_text_of(_only(element))}
    if element.tag == 0xA0 and ber.dotted(element[0]) == _SMTP_UTF8_MAILBOX:
        return {"email": utf8(_only(element[1].expect(0xA0)))}
    return {"other": element.raw.hex()[:1000]}


def utf8(element: Element) -> str:
    """A UTF8String, shortened. Raises ValueError."""
    return _text(element.expect(_UTF8_STRING).content, "utf-8")


def issuer_and_serial(element: Element, tag: int = ber.SEQUENCE) -> dict[str, Any]:
    """IssuerAndSerialNumber as `issuer` and `serial` (hex). tag: for an implicit one.

    Raises ValueError.
    """
    if len(element.expect(tag).children) != 2:
        raise ValueError("an IssuerAndSerialNumber has two parts")
    return {"issuer": name_text_of(element[0]), "serial": serial(element[1])}


def serial(element: Element) -> str:
    """A serial number in hex; RFC 5280 §4.1.2.2 has 20 octets. Raises ValueError."""
    if len(element.content) > 64:
        raise ValueError("a serial number is too long")
    return f"{cms.integer(element):x}"


def hexadecimal(element: Element, tag: int = ber.OCTET_STRING) -> str:
    """An OCTET STRING in hex: an identifier, digest or signature. Raises ValueError."""
    octets = cms.octets(element, tag)
    if len(octets) > _OCTETS:
        raise ValueError("an octet string is too long")
    return octets.hex()


def identifier(element: Element) -> dict[str, Any]:
    """IssuerAndSerialNumber, or a key identifier in an OCTET STRING. Raises ValueError."""
    if element.tag == ber.SEQUENCE:
        return issuer_and_serial(element)
    return {"key_identifier": hexadecimal(element)}


def _only(element: Element) -> Element:
    if len(element.children) != 1:
        raise ValueError("an element has more or fewer parts than one")
    return element[0]


def _text(content: bytes, encoding: str) -> str:
    text = content.decode(encoding)  # a UnicodeDecodeError is a ValueError
    return text if len(text) <= 1000 else text[:999] + "…"
