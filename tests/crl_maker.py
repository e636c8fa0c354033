"""Makes CRLs of every kind: deltas, partitions, indirect ones, with any entries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki_maker import DAY, NOW, Authority, Issued, dn

Reason = x509.ReasonFlags
OTHERS = frozenset(Reason) - {Reason.unspecified, Reason.remove_from_crl, Reason.key_compromise}


@dataclass(frozen=True)
class Listed:
    """One entry. of: the CA that certificateIssuer names."""

    serial: int
    reason: str = "keyCompromise"
    when: datetime = NOW - DAY
    invalid_from: datetime | None = None
    of: x509.Name | None = None


def entry(cert: Issued, reason: str = "keyCompromise", **more: object) -> Listed:
    """`cert` is listed."""
    return Listed(cert.cert.serial_number, reason, **more)  # type: ignore[arg-type]


def scope(**options: object) -> x509.IssuingDistributionPoint:
    """issuingDistributionPoint; `uri` names its point."""
    uri = options.pop("uri", None)
    values: dict[str, object] = {
        "full_name": None if uri is None else [x509.UniformResourceIdentifier(str(uri))],
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | options))  # type: ignore[arg-type]


def points(
    *,
    uri: str = "",
    crl_issuer: str = "",
    relative: str = "",
    reasons: frozenset[x509.ReasonFlags] | None = None,
) -> x509.DistributionPoint:
    """One DistributionPoint of a certificate."""
    return x509.DistributionPoint(
        [x509.UniformResourceIdentifier(uri)] if uri else None,
        rdn(relative) if relative else None,
        reasons,
        [x509.DirectoryName(dn(crl_issuer))] if crl_issuer else None,
    )


def rdn(common_name: str) -> x509.RelativeDistinguishedName:
    """CN=… alone."""
    attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)
    return x509.RelativeDistinguishedName([attribute])


def crl(
    ca: Authority | Issued,
    *listed: Listed,
    number: int | None = 1,
    base: int | None = None,
    point: x509.IssuingDistributionPoint | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 7 * DAY,
) -> bytes:
    """base: makes it a delta CRL."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.cert.subject)
    builder = builder.last_update(start).next_update(end)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    if point is not None:
        builder = builder.add_extension(point, critical=True)
    for one in listed:
        revoked = x509.RevokedCertificateBuilder().serial_number(one.serial)
        revoked = revoked.revocation_date(one.when)
        if one.reason:
            revoked = revoked.add_extension(x509.CRLReason(Reason(one.reason)), critical=False)
        if one.invalid_from is not None:
            revoked = revoked.add_extension(x509.InvalidityDate(one.invalid_from), critical=False)
        if one.of is not None:
            issuer = x509.CertificateIssuer([x509.DirectoryName(one.of)])
            revoked = revoked.add_extension(issuer, critical=True)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)
