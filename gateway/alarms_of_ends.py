"""Alarms of what ends or has ended: CRLs, OCSP responses, recipients' certificates. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from gateway.ahead import Ahead
from gateway.alarm import Alarm
from gateway.clock import rfc3339
from gateway.expiry_watch import Ends
from gateway.i18n import message
from gateway.metrics.gauges import Standing
from pki.anchors import usable_until

CERTIFICATE = "certificate-expiring"
CRL_STALE = "crl-stale"
CRL_ENDING = "crl-ending"
CRL_DELTA = "crl-delta-late"
GRACE = "revocation-grace"
OCSP_LATE = "ocsp-late"
RECIPIENTS = "recipients-expiring"

_NAMED = 5


def judge_revocation(standing: Standing, ahead: Ahead) -> Iterator[Alarm]:
    """CRLs that are over, used by grace or nearly over; deltas and OCSP responses that are late."""
    moment = standing.moment
    for issuer, next_update in standing.crls.items():
        facts = {"issuer": issuer, "date": rfc3339(next_update)}
        grace = standing.ends.grace.get(issuer, timedelta())
        # A CRL that lives for an hour is not "nearly over" all its life.
        life = next_update - standing.crls_begun.get(issuer, next_update - timedelta(days=3650))
        if next_update < moment <= usable_until(next_update, grace):
            yield Alarm(
                GRACE,
                issuer,
                message(
                    "the CRL of {issuer} was to be replaced by {date} and is used by grace until "
                    "{until}: what was revoked since is not known, and from then on mail waits"
                ),
                {**facts, "until": rfc3339(usable_until(next_update, grace))},
            )
        elif next_update < moment:
            yield Alarm(
                CRL_STALE,
                issuer,
                message("the CRL of {issuer} was to be replaced by {date}: mail may wait"),
                facts,
            )
        elif ahead.crls is not None and next_update - moment < min(ahead.crls, life / 10):
            yield Alarm(
                CRL_ENDING,
                issuer,
                message("the CRL of {issuer} ends on {date}, and no newer one could be had"),
                facts,
            )
    for issuer, next_update in standing.late_deltas.items():
        yield Alarm(
            CRL_DELTA,
            issuer,
            message(
                "the delta CRL of {issuer} was to be replaced by {date}: the complete CRL counts, "
                "mail flows, and what was revoked since is not known"
            ),
            {"issuer": issuer, "date": rfc3339(next_update)},
        )
    yield from _ocsp(standing, ahead)


def _ocsp(standing: Standing, ahead: Ahead) -> Iterator[Alarm]:
    """Responders that fail, once that may keep mail waiting."""
    ocsp = standing.ends.ocsp
    if not ocsp.failing or ahead.ocsp is None:
        return
    late = ocsp.missing + ocsp.stale
    if not late and (ocsp.ends is None or ocsp.ends - standing.moment >= ahead.ocsp):
        return
    yield Alarm(
        OCSP_LATE,
        "",
        message(
            "OCSP responders give no usable answer about {failing} certificates ({reason}); of "
            "{late} there is no current one, the first of the others ends on {date}"
        ),
        {
            "failing": str(ocsp.failing),
            "reason": ocsp.reasons[0][0] if ocsp.reasons else "-",
            "late": str(late),
            "date": "-" if ocsp.ends is None else rfc3339(max(ocsp.ends, standing.moment)),
        },
    )


def judge_recipients(ends: Ends, ahead: Ahead) -> Iterator[Alarm]:
    """Recipients of the local store who soon have no certificate."""
    recipients = ends.recipients
    if recipients.ending and ahead.recipients is not None:
        yield Alarm(
            RECIPIENTS,
            "recipients",
            message(
                "the last stored certificates of recipients end within {days} days: {number} "
                "({names}); mail to them will wait or come back"
            ),
            ending(ahead.recipients, recipients.ending, list(recipients.ends)[:_NAMED]),
        )


def judge_opening(ends: Ends, ahead: Ahead) -> Iterator[Alarm]:
    """Our people who soon have no certificate to be written to."""
    number, first = ends.opening
    if number and ahead.persons is not None:
        yield Alarm(
            CERTIFICATE,
            "opening",
            message(
                "the last certificates by which our people are written to end within {days} days: "
                "{number} ({names})"
            ),
            ending(ahead.persons, number, first),
        )


def ending(within: timedelta, number: int, first: Sequence[str]) -> dict[str, str]:
    """The facts `days`, `number` and `names` of so many ends. first: the names that are told."""
    return {
        "days": f"{within / timedelta(days=1):g}",
        "number": str(number),
        "names": ", ".join(first) + (", …" if number > len(first) else ""),
    }
