"""The one place where a certificate becomes a CheckedCertificate. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pki.addresses import canonical, domain_of
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.crl import read_crl
from pki.errors import CertificateRefused
from pki.models import CheckedCertificate, Purpose
from pki.path import Material, Revocation, find_path
from pki.path_building import Budget
from pki.usage import anchor_problem, check_usage, domain_problem, purpose_problem


@dataclass(frozen=True, slots=True)
class Judged:
    """A checked certificate and the moment from which the check must be made anew."""

    certificate: CheckedCertificate
    until: datetime


def check(
    cert_der: bytes,
    *,
    address: str,
    purpose: Purpose,
    moment: datetime,
    anchors: Sequence[Anchor],
    intermediates: Iterable[bytes],
    crls: Iterable[bytes],
    source: str,
) -> CheckedCertificate:
    """All checks, in order; the first that fails is the reason.

    crls: PEM or DER.
    Raises CertificateRefused (it must not be used), CannotJudge (a CRL is missing or stale),
    CrlRefused, AddressError.
    """
    material = Material(anchors, intermediates, [read_crl(crl) for crl in crls])
    return judge(
        ParsedCertificate(cert_der),
        address=address,
        purpose=purpose,
        moment=moment,
        material=material,
        source=source,
    ).certificate


def judge(
    cert: ParsedCertificate,
    *,
    address: str,
    purpose: Purpose,
    moment: datetime,
    material: Material,
    source: str,
    revocation: Revocation = Revocation.REQUIRE,
    domain: str = "",
    budget: Budget | None = None,
) -> Judged:
    """`check` with anchors, intermediates and CRLs prepared once for many certificates.

    1. the address is in the certificate; 2. key usage, extended key usage, key; 3. a valid path
    to an anchor that is trusted for this purpose and address; 4. revocation along the path.
    domain: of `address`, for a certificate that a person has pinned for all of it (RFC 3183): it
    need not be in the certificate, the domain must. budget: as in `pki.path.find_path`.
    Raises as `check`.
    """
    address = canonical(address)
    if domain:
        if domain_of(address) != domain:
            raise ValueError(f"{address} is not in the domain {domain}")
        unfit = domain_problem(cert, domain) or purpose_problem(cert, purpose, moment)
        if unfit is not None:
            raise CertificateRefused(unfit)
    else:
        check_usage(cert, address=address, purpose=purpose, moment=moment)  # 1, 2
    path = find_path(  # 3, 4
        cert,
        material,
        moment=moment,
        revocation=revocation,
        accept=lambda anchor: anchor_problem(anchor, address=address, purpose=purpose),
        for_mail=True,
        budget=budget,
    )
    checked = CheckedCertificate(
        certificate=cert.x509,
        der=cert.der,
        sha256=cert.sha256,
        address=address,
        purpose=purpose,
        moment=moment,
        path=tuple(one.der for one in path.certificates),
        anchor=path.anchor.name,
        revocation=path.revocation,
        source=source,
        capabilities=cert.capabilities,
        domain=domain,
    )
    return Judged(checked, path.until)


def unsafe_unchecked(
    cert_der: bytes,
    address: str = "",
    purpose: Purpose = Purpose.ENCRYPT,
    *,
    moment: datetime,
) -> CheckedCertificate:
    """No check at all: for files that a person names by hand on the command line.

    The result says `unchecked=True`. Raises CertificateRefused if it cannot be read.
    """
    cert = ParsedCertificate(cert_der)
    return CheckedCertificate(
        certificate=cert.x509,
        der=cert_der,
        sha256=cert.sha256,
        address=address,
        purpose=purpose,
        moment=moment,
        path=(),
        anchor="",
        revocation=(),
        source="file",
        capabilities=cert.capabilities,
        unchecked=True,
    )
