"""The one rule for when two mail addresses are the same. Pure.

Archive, policy, look-up and signature checks all use `canonical`; two rules would be a hole
(threat S8: white space, trailing dots, NUL, homoglyphs and quoting in certificate addresses).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from asn1crypto import core
from cryptography import x509

from pki.errors import AddressError, problem

SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 9598 §3

_MAX_OCTETS = 320  # longer ones cannot be sent (RFC 5321 §4.5.3.1: 64 + 1 + 255)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z")
_PLAIN = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*\Z")
_PLAIN_DOMAIN = re.compile(
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
# Control, format (zero width, bidi), surrogates, private use, unassigned, separators.
_FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})


@lru_cache(maxsize=65_536)
def canonical(address: str) -> str:
    """The one form of an address (addr-spec, RFC 5321 §4.1.2, RFC 6531 §3.3).

    Local part: ASCII letters lower-case, other characters in NFC and otherwise as they are,
    quotes removed where the unquoted form says the same. Domain: lower-case A-labels.
    Raises AddressError for everything that has not exactly one form.
    """
    if not isinstance(address, str) or not address:
        raise AddressError(problem("identity.address", "the address is empty"))
    if len(address) > _MAX_OCTETS or len(address.encode("utf-8", "replace")) > _MAX_OCTETS:
        raise _bad(address[:40] + "…", "it is longer than 320 octets")
    for character in address:
        if (
            character <= " "
            or character == "\x7f"
            or (character > "\x7f" and unicodedata.category(character) in _FORBIDDEN)
        ):
            raise _bad(address, "it contains a blank, control or invisible character")
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise _bad(address, "it is not of the form local@domain")
    return f"{_canonical_local(address, local)}@{canonical_domain(domain)}"


@lru_cache(maxsize=16_384)
def canonical_domain(domain: str) -> str:
    """Lower-case A-labels without trailing dot. Raises AddressError.

    IDN: the standard library's codec is IDNA2003, which turns straße.de into strasse.de, a
    domain that under IDNA2008 belongs to somebody else. So an own, narrower rule: a label is
    lower-cased and then must be stable under NFKC and case folding and consist of letters, marks
    and digits; for these labels IDNA2003 and IDNA2008 agree on the A-label (RFC 3492). The others
    (ß, ς, joiners, compatibility forms) are refused; they can be written as A-labels (xn--…).
    """
    lowered = domain.translate(_ASCII_LOWER)
    if len(lowered) <= 253 and _PLAIN_DOMAIN.match(lowered):
        return lowered
    if lowered.isascii():
        raise _bad_domain(domain, "it is not a host name")
    labels = [label if label.isascii() else _a_label(domain, label) for label in lowered.split(".")]
    result = ".".join(labels)
    if len(result) > 253 or not _PLAIN_DOMAIN.match(result):
        raise _bad_domain(domain, "it is not a host name")
    return result


def domain_of(address: str) -> str:
    """Canonical domain of an address. Raises AddressError."""
    return canonical(address).rpartition("@")[2]


def in_domain(address: str, domain: str) -> bool:
    """Whether an address is in `domain`: exactly "a.example", or ".a.example" for all below it.

    False for an address without canonical form. Raises AddressError for a bad `domain`.
    """
    wanted = canonical_domain(domain.removeprefix("."))
    try:
        found = domain_of(address)
    except AddressError:
        return False
    return found.endswith("." + wanted) if domain.startswith(".") else found == wanted


@dataclass(frozen=True, slots=True)
class CertificateAddresses:
    """Mail addresses of a certificate: canonical ones, and texts that have no canonical form."""

    usable: tuple[str, ...]
    malformed: tuple[str, ...]


def certificate_addresses(cert: x509.Certificate) -> tuple[str, ...]:
    """Canonical addresses of a certificate; malformed ones are left out and match nothing."""
    return read_addresses(cert).usable


def read_addresses(cert: x509.Certificate) -> CertificateAddresses:
    """Addresses of a certificate. Raises ValueError if its extensions cannot be parsed."""
    try:
        san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        san = None
    return addresses_in(cert.subject, san)


def addresses_in(
    subject: x509.Name, san: x509.SubjectAlternativeName | None
) -> CertificateAddresses:
    """Addresses in SAN (rfc822Name, SmtpUTF8Mailbox) and subject emailAddress (RFC 8550 §3)."""
    usable: dict[str, None] = {}
    malformed: dict[str, None] = {}
    for text, ascii_only in _address_texts(subject, san):
        try:
            if ascii_only and not text.isascii():  # an IA5String that is none
                raise _bad(text, "it must be ASCII in this place")
            usable[canonical(text)] = None
        except AddressError:
            malformed[text] = None
    return CertificateAddresses(tuple(usable), tuple(malformed))


def _address_texts(
    subject: x509.Name, san: x509.SubjectAlternativeName | None
) -> list[tuple[str, bool]]:
    """Texts, and whether they stand where only ASCII may stand (RFC 5280 §4.2.1.6)."""
    texts: list[tuple[str, bool]] = []
    for name in san or ():
        if isinstance(name, x509.RFC822Name):
            texts.append((name.value, True))
        elif isinstance(name, x509.OtherName) and name.type_id == SMTP_UTF8_MAILBOX:
            texts.append((_utf8_string(name.value), False))
    in_subject = subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
    return texts + [(one.value, True) for one in in_subject if isinstance(one.value, str)]


def _utf8_string(der: bytes) -> str:
    try:
        return str(core.UTF8String.load(der, strict=True).native)
    except (ValueError, TypeError):
        # Not a UTF8String: give back something that has no canonical form, so it is reported.
        return "\ufffd " + der[:64].hex()


def _canonical_local(address: str, local: str) -> str:
    lowered = local.translate(_ASCII_LOWER)
    if _PLAIN.match(lowered):
        return lowered
    text = _unquoted(address, local) if local.startswith('"') else local
    if not text.isascii():
        composed = unicodedata.normalize("NFC", text)
        # A few characters compose into ASCII (U+212A KELVIN SIGN into K): a homoglyph by design.
        if any(
            unicodedata.normalize("NFC", character).isascii()
            for character in text
            if not character.isascii()
        ):
            raise _bad(address, "it contains a character that turns into another one")
        if unicodedata.normalize("NFC", composed.translate(_ASCII_LOWER)) != composed.translate(
            _ASCII_LOWER
        ):
            raise _bad(address, "it has more than one form")
        text = composed
    text = text.translate(_ASCII_LOWER)
    if _DOT_ATOM.match(text):
        return text
    if local.startswith('"') and text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    raise _bad(address, "the part before @ is not a dot-atom or quoted string")


def _unquoted(address: str, local: str) -> str:
    """Content of a quoted string (RFC 5321 §4.1.2 Quoted-string), quoted pairs resolved."""
    if len(local) < 3 or not local.endswith('"'):
        raise _bad(address, "the quotes are not closed")
    content: list[str] = []
    inner = iter(local[1:-1])
    for character in inner:
        if character == '"':
            raise _bad(address, "there is a quote inside the quotes")
        if character == "\\":
            following = next(inner, "")
            if not following or not following.isascii():
                raise _bad(address, "a backslash quotes nothing")
            content.append(following)
        else:
            content.append(character)
    return "".join(content)


def _a_label(domain: str, label: str) -> str:
    lowered = unicodedata.normalize("NFC", label).lower()
    stable = unicodedata.normalize("NFKC", lowered) == lowered and lowered.casefold() == lowered
    letters = all(
        unicodedata.category(character)[0] in "LMN" or character == "-" for character in lowered
    )
    if not stable or not letters or lowered.isascii():
        raise _bad_domain(domain, "write this international domain in its xn-- form")
    if unicodedata.category(lowered[0])[0] == "M" or lowered[0] == "-" or lowered[-1] == "-":
        raise _bad_domain(domain, "it is not a host name")
    return "xn--" + lowered.encode("punycode").decode("ascii")


def _bad(address: str, why: str) -> AddressError:
    return AddressError(
        problem(
            "identity.address",
            "{address} cannot be used as a mail address: " + why,
            address=ascii(address)[1:-1],
        )
    )


def _bad_domain(domain: str, why: str) -> AddressError:
    return AddressError(
        problem(
            "identity.domain",
            "{domain} cannot be used as a mail domain: " + why,
            domain=ascii(domain)[1:-1],
        )
    )
