"""Certificates pinned for all addresses of a domain: from gateway to gateway (RFC 3183 §4).

A person pins them, by file; none is ever taken from a directory or a mail. In the store they stand
under "@domain".
"""

from __future__ import annotations

from pki import store
from pki.bulk import Import
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from pki.models import Purpose
from pki.recipient_keys import Sighting, familiar, remember
from pki.usage import domain_problem, purpose_problem


def pinned_name(domain: str) -> str:
    """What a certificate of a canonical domain is stored under."""
    return "@" + domain


def pin(cert: ParsedCertificate, domain: str, how: Import) -> bool:
    """Store it for the domain; False if it is pinned already.

    Raises CertificateRefused: of another domain, or not for encryption.
    """
    reason = domain_problem(cert, domain) or purpose_problem(cert, Purpose.ENCRYPT, how.moment)
    if reason is not None:
        raise CertificateRefused(reason)
    name = pinned_name(domain)
    with how.write() as conn:
        if (cert.sha256, name) in store.in_use(conn, [cert.sha256], org=how.org):
            return False
        known = familiar(conn, [name], org=how.org).get(name)
        change = known.change(cert, name) if known is not None else None
        if how.dry_run:
            return True
        sighting = Sighting(name, cert, how.source, change)
        row = store.NewCertificate(cert, name, how.source)
        store.add_certificates(conn, [row], by=how.by, moment=how.moment, org=how.org)
        remember(conn, [sighting], by=how.by, moment=how.moment, org=how.org)
        if change is not None:
            how.changed(conn, [sighting], False)
    return True
