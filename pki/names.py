"""Distinguished names, compared as RFC 5280 §7.1 says. Pure."""

from __future__ import annotations

import unicodedata

from cryptography import x509

# One RDN is a set of (attribute type, prepared value); a name is their sequence.
NameKey = tuple[frozenset[tuple[str, str]], ...]


def name_key(name: x509.Name) -> NameKey:
    """A name in the form in which equal names are equal."""
    return tuple(rdn_key(rdn) for rdn in name.rdns)


def rdn_key(rdn: x509.RelativeDistinguishedName) -> frozenset[tuple[str, str]]:
    """One RDN in the form in which equal RDNs are equal."""
    return frozenset((attribute.oid.dotted_string, _prepared(attribute.value)) for attribute in rdn)


def name_text(name: x509.Name) -> str:
    """A name for people (RFC 4514), shortened: names are input of strangers."""
    text = name.rfc4514_string()
    return text if len(text) <= 300 else text[:299] + "…"


def _prepared(value: str | bytes) -> str:
    """String preparation, in short (RFC 4518): NFKC, case folded, runs of blanks as one."""
    if isinstance(value, bytes):
        return "\0" + value.hex()
    if value.isascii():
        return " ".join(value.casefold().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(folded.split())
