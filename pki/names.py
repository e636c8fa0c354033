"""Distinguished names, compared as RFC 5280 §7.1 says. Pure."""

from __future__ import annotations

import re
import unicodedata

from cryptography import x509

from pki import ber
from pki.ber import Element

# X.520 bounds names at 64 characters and nearly all else below this. Longer values are equal octet
# for octet alone: combining marks are put in order in quadratic time, 800 kB of them in minutes.
_LONGEST = 1_000

# One RDN is a set of (attribute type, prepared value); a name is their sequence.
NameKey = tuple[frozenset[tuple[str, str]], ...]

# RFC 4514 §3; other attribute types are shown by their numbers.
_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "0.9.2342.19200300.100.1.1": "UID",
}


def name_key(name: x509.Name) -> NameKey:
    """A name in the form in which equal names are equal."""
    return tuple(rdn_key(rdn) for rdn in name.rdns)


def name_key_of(name: Element) -> NameKey:
    """The same for a Name that stands in a foreign structure. Raises ValueError.

    What its strings cannot be decoded as they say counts as the octets that it is, as above.
    """
    return tuple(
        frozenset(
            (ber.dotted(attribute.expect(ber.SEQUENCE)[0]), _prepared(_string(attribute[1])))
            for attribute in rdn.expect(ber.SET)
        )
        for rdn in name.expect(ber.SEQUENCE)
    )


def rdn_key(rdn: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str]]:
    """One RDN in the form in which equal RDNs are equal."""
    return frozenset((attribute.oid.dotted_string, _prepared(attribute.value)) for attribute in rdn)


def name_text(name: x509.Name) -> str:
    """A name for people (RFC 4514), shortened: names are input of strangers."""
    text = name.rfc4514_string()
    return text if len(text) <= 300 else text[:299] + "…"


def name_text_of(name: Element) -> str:
    """The same for a Name that stands in a foreign structure. Raises ValueError."""
    rdns = [
        "+".join(
            _attribute_text(ber.dotted(attribute.expect(ber.SEQUENCE)[0]), attribute[1])
            for attribute in rdn.expect(ber.SET)
        )
        for rdn in name.expect(ber.SEQUENCE)
    ]
    text = ",".join(reversed(rdns))
    return text if len(text) <= 300 else text[:299] + "…"


def _attribute_text(oid: str, value: Element) -> str:
    string = _string(value)
    if isinstance(string, bytes):
        escaped = "#" + value.raw.hex()
    else:
        escaped = re.sub(r'[\\"+,;<>]', r"\\\g<0>", string).replace("\0", "\\00")
        if escaped[:1] in ("#", " "):
            escaped = "\\" + escaped
        if escaped.endswith(" ") and escaped != "\\ ":
            escaped = escaped[:-1] + "\\ "
    return f"{_SHORT.get(oid, oid)}={escaped}"


def _prepared(value: str | bytes) -> str:
    """String preparation, in short (RFC 4518): NFKC, case folded, runs of blanks as one."""
    if isinstance(value, bytes):
        return "\0" + value.hex()
    if value.isascii():
        return " ".join(value.casefold().split())
    if len(value) > _LONGEST:
        return "\1" + value
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(folded.split())


# UTF8String, NumericString, PrintableString, TeletexString, IA5String, VisibleString,
# UniversalString, BMPString, as `cryptography` reads them.
_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "utf-8",
    0x13: "utf-8",
    0x14: "latin-1",
    0x16: "utf-8",
    0x1A: "utf-8",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}


def _string(value: Element) -> str | bytes:
    encoding = _ENCODINGS.get(value.tag)
    if encoding is None:
        return value.content
    try:
        return value.content.decode(encoding)
    except UnicodeDecodeError:
        return value.content
