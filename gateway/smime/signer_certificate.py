"""Which certificate a SignerInfo means (RFC 5652 §5.3), and which it names (RFC 5035). Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from gateway.smime import algorithms, cms
from gateway.smime.cms import IssuerAndSerial, KeyIdentifier, algorithm, integer, octets
from gateway.smime.digests import digest_of
from gateway.smime.signed import SignerInfo
from pki import ber
from pki.ber import Element
from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem
from pki.names import NameKey, name_key_of

SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"  # RFC 2634 §5.4, by SHA-1

_DIRECTORY_NAME = 0xA4  # [4] of GeneralName, EXPLICIT as Name is a CHOICE


def meant(info: SignerInfo, certificates: Iterable[ParsedCertificate]) -> list[ParsedCertificate]:
    """All certificates that the SignerInfo's identifier fits, in their order.

    Issuers are compared as RFC 5280 §7.1 says: a sender may have written the name anew. Several
    may fit: an identifier is no secret, and anybody can put it into a certificate of his own.
    """
    wanted = info.identifier
    if isinstance(wanted, KeyIdentifier):
        return [cert for cert in certificates if cert.subject_key_id == wanted.value]
    try:
        issuer = name_key_of(cms.read(wanted.issuer))
    except ValueError:
        return []
    return [cert for cert in certificates if cert.serial == wanted.serial and cert.issuer == issuer]


def binding_problem(info: SignerInfo, cert: ParsedCertificate) -> Problem | None:
    """Why signingCertificate or signingCertificateV2 say another one than `cert`, or None.

    None, too, where neither is there. The first certificate that they name is the signer's
    (RFC 5035 §3): without them an attacker can put another certificate of the same key in place of
    the one that the signer meant.
    """
    if info.signed is None:
        return None
    for attribute in info.signed.attributes:
        if attribute.oid not in (SIGNING_CERTIFICATE, algorithms.SIGNING_CERTIFICATE_V2):
            continue
        try:
            if len(attribute.values) != 1:
                raise ValueError("one value")
            first = attribute.values[0].expect(ber.SEQUENCE)[0].expect(ber.SEQUENCE)[0]
            named = _names(first, cert, v2=attribute.oid == algorithms.SIGNING_CERTIFICATE_V2)
        except ValueError:
            return problem(
                "attributes.unreadable",
                "the signed attribute {name} cannot be read",
                name="signingCertificate",
            )
        if not named:
            return problem(
                "attributes.signing-certificate",
                "the signer named another certificate than the one of {subject}",
                subject=cert.subject_text,
            )
    return None


def _names(identifier: Element, cert: ParsedCertificate, *, v2: bool) -> bool:
    """ESSCertIDv2 (RFC 5035 §4), ESSCertID (RFC 2634 §5.4.1). Raises ValueError."""
    parts = list(identifier.expect(ber.SEQUENCE).children)
    computed = hashlib.sha1(cert.der, usedforsecurity=False).digest()
    if v2:
        computed = hashlib.sha256(cert.der).digest()
        if parts and parts[0].tag == ber.SEQUENCE:
            digest = digest_of(algorithm(parts.pop(0)))
            if isinstance(digest, Problem):
                raise ValueError(digest.text)
            computed = digest.of(cert.der)
    if not 1 <= len(parts) <= 2:
        raise ValueError("a hash, and perhaps an issuer")
    if not hmac.compare_digest(octets(parts[0]), computed):
        return False
    if len(parts) == 1:
        return True
    issuer_serial = parts[1].expect(ber.SEQUENCE)
    issuers = [_issuer(name) for name in issuer_serial[0].expect(ber.SEQUENCE)]
    return issuers == [cert.issuer] and integer(issuer_serial[1]) == cert.serial


def _issuer(name: Element) -> NameKey:
    return name_key_of(name.expect(_DIRECTORY_NAME)[0])


def identifier_text(info: SignerInfo) -> str:
    """The identifier for people: a serial number or a key identifier, in hex."""
    match info.identifier:
        case IssuerAndSerial(serial=serial):
            return f"{serial:x}"
        case KeyIdentifier(value=value):
            return value.hex()
