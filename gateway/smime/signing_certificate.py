"""signingCertificate and signingCertificateV2 (RFC 2634 §5.4, RFC 5035 §3). Pure.

They put the signer's certificate under the signature: without them whoever has another certificate
with the same key can put it in its place.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from gateway.smime import cms
from gateway.smime.algorithms import SIGNING_CERTIFICATE_V2
from gateway.smime.cms import Algorithm
from gateway.smime.digests import digest_of
from gateway.smime.general_names import general_names, hexadecimal, serial
from pki import ber
from pki.ber import Element
from pki.errors import Problem

__all__ = [
    "SIGNING_CERTIFICATE",
    "SIGNING_CERTIFICATE_V2",
    "binds",
    "signing_certificate",
    "signing_certificate_v2",
]

SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"

_SHA1 = Algorithm("1.3.14.3.2.26", None)
_SHA256 = Algorithm("2.16.840.1.101.3.4.2.1", None)  # the default of ESSCertIDv2
_LIMIT = 64  # certificates; a signer names one, or his chain


def binds(oid: str, values: Sequence[Element], certificate: bytes) -> bool | None:
    """Whether the attribute names this certificate (DER) as the signer's: the first that it names.

    None: it is another attribute, cannot be read, or uses a digest that is not known here. Whether
    its digest is good enough (signingCertificate has SHA-1) is for the dated table to say.
    """
    if oid not in (SIGNING_CERTIFICATE, SIGNING_CERTIFICATE_V2) or len(values) != 1:
        return None
    try:
        first = _certificates(values[0])[0]
        algorithm, digested, _ = _identifier(first, v2=oid == SIGNING_CERTIFICATE_V2)
        named = cms.octets(digested)
    except ValueError:
        return None
    digest = digest_of(algorithm)
    if isinstance(digest, Problem):
        return None
    return hmac.compare_digest(digest.of(certificate), named)


def signing_certificate(value: Element) -> dict[str, Any]:
    """`certificates`: `digest` (name or OID), `hash` (hex), `issuer`, `serial` each.

    Raises ValueError.
    """
    return _facts(value, v2=False)


def signing_certificate_v2(value: Element) -> dict[str, Any]:
    """The same for signingCertificateV2. Raises ValueError."""
    return _facts(value, v2=True)


def _facts(value: Element, *, v2: bool) -> dict[str, Any]:
    certificates = []
    for one in _certificates(value):
        algorithm, named, issuer_serial = _identifier(one, v2=v2)
        digest = digest_of(algorithm)
        certificates.append(
            {
                "digest": algorithm.oid if isinstance(digest, Problem) else digest.name,
                "hash": hexadecimal(named),
                **_issuer_serial(issuer_serial),
            }
        )
    return {"certificates": certificates}


def _certificates(value: Element) -> Sequence[Element]:
    """certs of SigningCertificate[V2]; its policies restrict nothing that is checked here."""
    parts = value.expect(ber.SEQUENCE).children
    if not 1 <= len(parts) <= 2:
        raise ValueError("SigningCertificate has one or two parts")
    certificates = parts[0].expect(ber.SEQUENCE).children
    if not 1 <= len(certificates) <= _LIMIT:
        raise ValueError("SigningCertificate names no certificate, or too many")
    return certificates


def _identifier(element: Element, *, v2: bool) -> tuple[Algorithm, Element, Element | None]:
    """ESSCertID or ESSCertIDv2: digest algorithm, digest, IssuerSerial."""
    parts = list(element.expect(ber.SEQUENCE))
    algorithm = _SHA256 if v2 else _SHA1
    if v2 and parts and parts[0].tag == ber.SEQUENCE:
        algorithm = cms.algorithm(parts.pop(0))
    if not 1 <= len(parts) <= 2:
        raise ValueError("ESSCertID has more or fewer parts than it must have")
    return algorithm, parts[0], parts[1] if len(parts) == 2 else None


def _issuer_serial(element: Element | None) -> dict[str, Any]:
    if element is None:
        return {"issuer": None, "serial": None}
    if len(element.expect(ber.SEQUENCE).children) != 2:
        raise ValueError("IssuerSerial has two parts")
    (issuer,) = general_names(element[0].expect(ber.SEQUENCE), 1)
    return {
        "issuer": issuer.get("directory", ""),
        "serial": serial(element[1]),
    }
