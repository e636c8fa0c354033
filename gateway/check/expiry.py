"""Whether a certificate is valid now, and how soon it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.check.finding import Finding, error, good, warning
from gateway.i18n import message
from gateway.known import parsed

# When people are warned, when warned louder, and when it is an error.
_ORDER, RENEW, NOW = timedelta(days=60), timedelta(days=30), timedelta(days=7)

STOPS = message("mail that needs it will wait from then on")


def day(moment: datetime) -> str:
    """For people."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +00:00")


def validity(
    subject: str,
    der: bytes,
    moment: datetime,
    *,
    meaning: str = STOPS,
    ahead: timedelta | None = None,
) -> Finding:
    """One finding. meaning: what follows from its end. ahead: when its alarm is raised."""
    certificate = parsed(der)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    facts = {
        "name": certificate.subject.rfc4514_string(),
        "date": day(ends),
        "days": str((ends - moment).days),
    }
    if not begins <= moment <= ends:
        return error(
            subject,
            "certificate.not-valid",
            "{name} is not valid now (from {begin} until {date})",
            meaning=meaning,
            advice="renew it",
            begin=day(begins),
            **facts,
        )
    left = ends - moment
    # A certificate that was made for three months need not be warned of for two of them.
    share = (ends - begins) / 3
    if left < min(NOW, share):
        return error(
            subject,
            "certificate.ends-now",
            "{name} ends on {date}, in {days} days",
            meaning=meaning,
            advice="renew it now",
            **facts,
        )
    if left < min(RENEW, share):
        return warning(
            subject,
            "certificate.ends-soon",
            "{name} ends on {date}, in {days} days",
            meaning=meaning,
            advice="renew it",
            **facts,
        )
    if left < min(_ORDER, share) or (ahead is not None and left < ahead):
        return warning(
            subject,
            "certificate.ends",
            "{name} ends on {date}, in {days} days",
            meaning=meaning,
            advice="ask its CA for the next one",
            **facts,
        )
    return good(subject, "{name}, until {date}", **facts)
