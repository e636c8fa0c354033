"""Revocation lists: there for every authority, fresh, and fetched."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.check.crls_of_others import published_by_others
from gateway.check.expiry import day
from gateway.check.finding import Finding, error, good, warning
from gateway.i18n import message
from gateway.wiring import Wiring
from pki.crl import Crl
from pki.crl_standing import CrlStanding, by_ocsp_alone, crl_standings
from pki.crl_store import last_fetches
from pki.path import Material

# A list is to be replaced before its end: in its last tenth, or last day, no newer one is odd.
_NEAR = timedelta(days=1)

_WAITS = message("whether certificates are revoked cannot be told, and mail to them waits")
_ASK = message("sceau pki crl refresh; ask the CA if it has no newer one")


def crls(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Every authority has one, each is current, each source gives what it should."""
    material = wiring.trust.current().material
    known = crl_standings(material, moment)
    complete = {one.issuer for one in known if one.complete is not None}
    alone = {one.issuer for one in known} - complete
    missing = [name for name in _issuers(material, moment) if name not in complete | alone]
    others = published_by_others(wiring, missing, moment)
    for name in missing:
        yield others.get(name) or error(
            "crls",
            "crl.none",
            "no CRL of {issuer} is known: whether its certificates are revoked cannot be "
            "told, and mail waits",
            advice="name its source under [[pki.crls]], then sceau pki crl refresh",
            issuer=name,
        )
    for one in known:
        if one.complete is not None:
            yield _fresh(one, moment)
        if one.delta is not None:
            yield from _delta(one, one.delta, moment, waits=one.issuer in alone)
        elif one.complete is not None and one.complete.freshest:
            yield _deltas_unknown(one.complete)
    yield from _sources(wiring)


def _sources(wiring: Wiring) -> Iterator[Finding]:
    with wiring.database.read() as conn:
        fetches = last_fetches(conn)
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


def _issuers(material: Material, moment: datetime) -> list[str]:
    """Who must have a CRL: anchors, and the authorities between them and people."""
    found = [cert for _, cert in material.anchors]
    if found:
        found += [cert for certs in material.intermediates.values() for cert in certs]
    names = dict.fromkeys(cert.subject_text for cert in found if cert.is_ca)
    unasked = by_ocsp_alone(material, moment)
    return [name for name in names if name not in unasked]


def _facts(crl: Crl) -> dict[str, str]:
    return {
        "issuer": crl.issuer_text,
        "number": "-" if crl.number is None else str(crl.number),
        "date": day(crl.next_update),
    }


def _fresh(standing: CrlStanding, moment: datetime) -> Finding:
    crl = standing.current
    facts = _facts(crl)
    if crl.next_update < moment:
        return error(
            "crls",
            "crl.stale",
            "CRL no. {number} of {issuer} was to be replaced by {date}",
            meaning=_WAITS,
            advice=_ASK,
            **facts,
        )
    if crl.next_update - moment < min(_NEAR, (crl.next_update - crl.this_update) / 10):
        return warning(
            "crls",
            "crl.ends-soon",
            "CRL no. {number} of {issuer} ends on {date}, and no newer one is known",
            meaning="from then on mail waits",
            advice=_ASK,
            **facts,
        )
    return good("crls", "CRL no. {number} of {issuer}, until {date}", **facts)


def _deltas_unknown(complete: Crl) -> Finding:
    """RFC 5280 §5.2.6: the CA says where its deltas are. It is not gone to unless a person has
    named the place, as with every other source.
    """
    return warning(
        "crls",
        "crl.delta-unknown",
        "{issuer} publishes delta CRLs, and none is known",
        meaning="mail flows; what is revoked from now on is known with the next complete CRL",
        advice="to know it earlier, name their source under [[pki.crls]]: {url}",
        issuer=complete.issuer_text,
        url=ascii(complete.freshest[0])[1:-1][:200],
    )


def _delta(one: CrlStanding, delta: Crl, moment: datetime, *, waits: bool) -> Iterator[Finding]:
    """waits: nothing is known of its issuer but deltas."""
    if waits:
        yield error(
            "crls",
            "crl.no-complete",
            "only delta CRLs of {issuer} are known (no. {number}), and no complete one",
            meaning=_WAITS,
            advice="name the source of the complete CRL under [[pki.crls]], then sceau pki crl "
            "refresh",
            **_facts(delta),
        )
    elif one.complete is not None and one.delta_is_late(moment):
        yield warning(
            "crls",
            "crl.delta-late",
            "delta CRL no. {number} of {issuer} was to be replaced by {date}; complete CRL no. "
            "{complete} counts, until {until}",
            meaning="mail flows, and what was revoked since is not known",
            advice=_ASK,
            complete="-" if one.complete.number is None else str(one.complete.number),
            until=day(one.complete.next_update),
            **_facts(delta),
        )
    elif one.alone:
        yield warning(
            "crls",
            "crl.delta-alone",
            "delta CRL no. {number} of {issuer} completes no complete CRL that is known",
            meaning="what it lists is revoked; it makes no CRL current",
            advice=_ASK,
            **_facts(delta),
        )
    elif delta is not one.current and delta.next_update >= moment:
        yield good("crls", "delta CRL no. {number} of {issuer}, until {date}", **_facts(delta))
