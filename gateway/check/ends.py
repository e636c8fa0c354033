"""Recipients whose certificates end, grace in use, OCSP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.check.expiry import day
from gateway.check.finding import Finding, good, warning
from gateway.expiry_watch import grace_by_issuer
from gateway.wiring import Wiring
from pki.anchors import RevocationSources, usable_until
from pki.crl_standing import crl_standings
from pki.expiring import recipients_ending
from pki.ocsp_store import standing

_SOON = timedelta(days=30)
_NAMED = 3


def recipients(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Stored certificates of others that end, and nobody has a newer one."""
    ahead = max(_SOON, wiring.ahead.recipients or _SOON)
    with wiring.database.read() as conn:
        found = recipients_ending(conn, moment=moment, until=moment + ahead, name=_NAMED)
    if found.ending:
        names = [f"{address} ({ends:%Y-%m-%d})" for address, ends in found.ends.items()]
        yield warning(
            "recipients",
            "recipients.ending",
            "the last stored certificates of {count} recipients end within {days} days: {names}",
            meaning="from then on mail that must be encrypted to them waits or comes back",
            advice="ask them for new ones: sceau pki cert import",
            count=str(found.ending),
            days=str(ahead.days),
            names=", ".join(names) + (", …" if found.ending > _NAMED else ""),
        )
    elif found.known:
        yield good(
            "recipients",
            "recipients with stored certificates: {count}, of whom {ended} have none any more "
            "that is valid",
            count=str(found.known),
            ended=str(found.ended),
        )


def grace(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """CRLs that are used past their end."""
    material = wiring.trust.current().material
    allowed = grace_by_issuer(material, moment)
    for crl in crl_standings(material, moment):
        until = usable_until(crl.until, allowed.get(crl.issuer, timedelta()))
        if crl.complete is not None and crl.until < moment <= until:
            yield warning(
                "crls",
                "crl.grace",
                "the CRL of {issuer} ended on {date} and is used by grace until {until}",
                meaning="what was revoked since is not known; from then on mail waits",
                advice="sceau pki crl refresh; ask the CA if it has no newer one",
                issuer=crl.issuer,
                date=day(crl.until),
                until=day(until),
            )


def ocsp(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Responders give what they should. Asks nobody."""
    anchors = wiring.trust.current().material.anchors
    if all(anchor.sources is RevocationSources.CRL for anchor, _ in anchors):
        return
    with wiring.database.read() as conn:
        found = standing(conn, moment=moment)
    ends = "-" if found.ends is None else day(found.ends)
    late = found.missing + found.stale
    if found.failing:
        yield warning(
            "ocsp",
            "ocsp.failing",
            "the last question about {failing} of {wanted} certificates failed: {reason}",
            meaning="without a current response, and where no CRL can tell, mail waits",
            advice="sceau pki ocsp refresh; ask whoever runs the responder",
            failing=str(found.failing),
            wanted=str(found.wanted),
            reason=found.reasons[0][0] if found.reasons else "-",
        )
    if late:
        yield warning(
            "ocsp",
            "ocsp.late",
            "there is no current OCSP response about {count} certificates in use",
            meaning="they are asked about when mail needs them",
            advice="sceau pki ocsp refresh",
            count=str(late),
        )
    elif not found.failing:
        yield good(
            "ocsp",
            "certificates asked about by OCSP: {wanted}, the first response ends on {date}",
            wanted=str(found.wanted),
            date=ends,
        )
