"""Client certificates: from what the TLS handshake has verified to an identity. No network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from gateway.mail import Identity
from pki.addresses import canonical, canonical_domain
from pki.certificate import ParsedCertificate
from pki.errors import AddressError, CannotJudge, PkiError, Problem, problem
from pki.path import Material
from pki.revocation import CrlJudge, check_revocation


@dataclass(frozen=True, slots=True)
class ClientEntry:
    """Who may come with which certificate.

    issuers: the CAs whose own signature counts, for this entry alone. fingerprints: SHA-256 of
    the certificates allowed. names: "crm.b.example" and "*.apps.b.example" (dNSName),
    "anna@b.example" and "@b.example" (rfc822Name); one must fit.
    unsafe_no_revocation: a certificate taken by its name needs no CRL.
    """

    name: str
    issuers: tuple[ParsedCertificate, ...]
    fingerprints: frozenset[str] = frozenset()
    names: tuple[str, ...] = ()
    unsafe_no_revocation: bool = False


class ClientUnknown(PkiError):
    """The certificate proves nothing here; the connection goes on without it."""


class Clients:
    """The [[clients]] of an installation."""

    def __init__(self, entries: Sequence[ClientEntry]) -> None:
        self._entries = tuple(entries)

    def identify(self, der: bytes, material: Material, moment: datetime) -> Identity:
        """Who this is. The handshake has verified signature, purpose and path before.

        material: the CRLs of the pki store. Revocation: one that was pinned by fingerprint is
        revoked by taking it out of the list, or by a CRL if one is known; one that came by its
        name needs a CRL that speaks for it. Raises ClientUnknown, CertificateRefused (revoked,
        unreadable), CannotJudge (CRL missing or stale).
        """
        cert = ParsedCertificate(der)
        # A resumed TLS session is as old as its ticket: the handshake may have been yesterday.
        if not cert.not_before <= moment <= cert.not_after:
            raise ClientUnknown(_unknown("{subject} is not valid now", cert))
        for entry in self._entries:
            # OpenSSL was given the CAs of all entries together; each entry has its own.
            issuer = next((ca for ca in entry.issuers if _issued(cert, ca)), None)
            if issuer is None:
                continue
            pinned = cert.sha256 in entry.fingerprints
            if pinned or _name_fits(entry.names, cert):
                lenient = pinned or entry.unsafe_no_revocation
                _not_revoked(cert, issuer, material, moment, crl_needed=not lenient)
                return Identity(
                    "client-certificate",
                    entry.name,
                    _mails(cert),
                    frozenset(),
                    cert.sha256,
                )
        raise ClientUnknown(_unknown("{subject} fits no [[clients]] entry", cert))


def _unknown(template: str, cert: ParsedCertificate) -> Problem:
    return problem("identity.client", template, subject=cert.subject_text)


def _issued(cert: ParsedCertificate, issuer: ParsedCertificate) -> bool:
    return cert.issuer == issuer.subject and cert.signed_by(issuer)


def _not_revoked(
    cert: ParsedCertificate,
    issuer: ParsedCertificate,
    material: Material,
    moment: datetime,
    *,
    crl_needed: bool,
) -> None:
    try:
        check_revocation(
            cert,
            issuer,
            CrlJudge(
                moment=moment,
                grace=timedelta(),
                crls=material.crls,
                signers=lambda _name: (),  # the CA of the entry signs its CRLs itself
                trusted=lambda _signer, _cert: False,
            ),
        )
    except CannotJudge as error:
        # Without any CRL the admin's list decides; a stale one may hide what a new one says.
        if crl_needed or error.problem.code != "revocation.missing":
            raise


def _name_fits(patterns: tuple[str, ...], cert: ParsedCertificate) -> bool:
    hosts, mails = _hosts(cert), _mails(cert)
    for pattern in patterns:
        if "@" in pattern:
            if any(pattern in (mail, mail[mail.rfind("@") :]) for mail in mails):
                return True
        elif pattern.startswith("*."):
            if any(host.endswith(pattern[1:]) for host in hosts):
                return True
        elif pattern in hosts:
            return True
    return False


# Names of the SAN only: no name constraint of the CA holds for what stands in a subject.


def _hosts(cert: ParsedCertificate) -> set[str]:
    found = set()
    for name in cert.san.get_values_for_type(x509.DNSName) if cert.san else ():
        try:
            found.add(canonical_domain(name))
        except AddressError:
            continue  # a wildcard, or nothing: names of machines only
    return found


def _mails(cert: ParsedCertificate) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in cert.san.get_values_for_type(x509.RFC822Name) if cert.san else ():
        try:
            found[canonical(name)] = None
        except AddressError:
            continue  # gives no right
    return tuple(found)
