"""Revocation lists: there for every authority, fresh, and fetched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.check.expiry import day
from gateway.check.finding import Finding, error, good, warning
from gateway.i18n import message
from gateway.wiring import Wiring
from pki.anchors import load_certificates
from pki.certificate import ParsedCertificate
from pki.store import StoredCrl, last_fetches, list_crls

# A list is to be replaced before its end: in its last tenth, or last day, no newer one is odd.
_NEAR = timedelta(days=1)

_WAITS = message("whether certificates are revoked cannot be told, and mail to them waits")


def crls(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Every authority has one, each is current, each source gives what it should."""
    with wiring.database.read() as conn:
        known = [crl for crl in list_crls(conn) if crl.newest]
        fetches = last_fetches(conn)
    issuers = {crl.issuer for crl in known}
    for name in _issuers(wiring):
        if name not in issuers:
            yield error(
                "crls",
                "crl.none",
                "no CRL of {issuer} is known: whether its certificates are revoked cannot be "
                "told, and mail waits",
                advice="name its source under [[pki.crls]], then sceau pki crl refresh",
                issuer=name,
            )
    for crl in known:
        yield _fresh(crl, moment)
    for source in wiring.crl_sources:
        last = fetches.get(source.location)
        if last is None:
            yield warning(
                "crls",
                "crl.never-fetched",
                "{source} was never fetched",
                meaning=_WAITS,
                advice="sceau pki crl refresh",
                source=source.name,
            )
        elif last.problem:
            yield warning(
                "crls",
                "crl.fetch-failed",
                "{source}: {reason} (tried at {date})",
                meaning="the list that is known holds until its end, then mail waits",
                advice="ask whoever runs that server; sceau pki crl refresh tries again",
                source=source.name,
                reason=last.problem,
                date=day(last.tried_at),
            )


def _issuers(wiring: Wiring) -> list[str]:
    """Who must have a CRL: anchors, and the authorities between them and people."""
    ders = [anchor.certificate for anchor, _ in wiring.trust.current().material.anchors]
    for path in wiring.config.pki.intermediates if ders else ():
        ders += load_certificates(path)
    found = [ParsedCertificate(der) for der in ders]
    return list(dict.fromkeys(cert.subject_text for cert in found if cert.is_ca))


def _fresh(crl: StoredCrl, moment: datetime) -> Finding:
    facts = {
        "issuer": crl.issuer,
        "number": "-" if crl.number is None else str(crl.number),
        "date": day(crl.next_update),
    }
    if crl.next_update < moment:
        return error(
            "crls",
            "crl.stale",
            "CRL no. {number} of {issuer} was to be replaced by {date}",
            meaning=_WAITS,
            advice="sceau pki crl refresh; ask the CA if it has no newer one",
            **facts,
        )
    if crl.next_update - moment < min(_NEAR, (crl.next_update - crl.this_update) / 10):
        return warning(
            "crls",
            "crl.ends-soon",
            "CRL no. {number} of {issuer} ends on {date}, and no newer one is known",
            meaning="from then on mail waits",
            advice="sceau pki crl refresh; ask the CA if it has no newer one",
            **facts,
        )
    return good("crls", "CRL no. {number} of {issuer}, until {date}", **facts)
