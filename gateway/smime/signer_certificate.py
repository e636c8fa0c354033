"""Which certificate a SignerInfo means (RFC 5652 §5.3), and which it names (RFC 5035). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.smime import cms
from gateway.smime.cms import IssuerAndSerial, KeyIdentifier
from gateway.smime.names import issuer_octets
from gateway.smime.signed import SignerInfo
from gateway.smime.signing_certificate import SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2, binds
from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem
from pki.names import name_key_of


def meant(info: SignerInfo, certificates: Iterable[ParsedCertificate]) -> list[ParsedCertificate]:
    """All certificates that the SignerInfo's identifier fits, in their order.

    Issuers are compared as RFC 5280 §7.1 says: a sender may have written the name anew. Several
    may fit: an identifier is no secret, and anybody can put it into a certificate of his own.
    """
    wanted = info.identifier
    if isinstance(wanted, KeyIdentifier):
        return [cert for cert in certificates if cert.subject_key_id == wanted.value]
    same = [cert for cert in certificates if cert.serial == wanted.serial]
    if all(issuer_octets(cert.der) == wanted.issuer for cert in same):  # as nearly always
        return same
    try:
        issuer = name_key_of(cms.read(wanted.issuer))
    except ValueError:
        return []
    return [cert for cert in same if cert.issuer == issuer]


def binding_problem(info: SignerInfo, cert: ParsedCertificate) -> Problem | None:
    """Why signingCertificate or signingCertificateV2 say another one than `cert`, or None.

    None, too, where neither is there. Where they are, an attacker cannot put another certificate
    of the same key in place of the one that the signer meant (RFC 5035 §3).
    """
    for attribute in () if info.signed is None else info.signed.attributes:
        if attribute.oid not in (SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2):
            continue
        bound = binds(attribute.oid, attribute.values, cert.der)
        if bound is None:
            return problem(
                "attributes.unreadable",
                "the signed attribute {name} cannot be read",
                name="signingCertificate",
            )
        if not bound:
            return problem(
                "attributes.signing-certificate",
                "the signer named another certificate than the one of {subject}",
                subject=cert.subject_text,
            )
    return None


def identifier_text(info: SignerInfo) -> str:
    """The identifier for people: a serial number or a key identifier, in hex, shortened."""
    match info.identifier:
        case IssuerAndSerial(serial=serial):
            return f"{serial:x}"[:128]
        case KeyIdentifier(value=value):
            return value[:64].hex()
