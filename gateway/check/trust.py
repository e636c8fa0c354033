"""Whom we trust: anchors, and the authorities between them and people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gateway.check.expiry import NOW, RENEW, day, validity
from gateway.check.finding import Finding, Level, error, good, warning
from gateway.i18n import message
from gateway.wiring import Wiring
from pki.anchors import Anchor, load_certificates
from pki.certificate import ParsedCertificate

_NOBODY = message("from then on no certificate below it is trusted, and mail waits")

_TRUST_ENDS = message("the trust in it ends on {date}, in {days} days")
_ANEW = message("if it is to go on: sceau pki anchor propose --supersedes, and another person")


def anchors(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Each is valid; its fingerprint was compared when it was loaded, or two persons signed."""
    found = [anchor for anchor, _ in wiring.trust.refresh().material.anchors]
    if not found:
        yield warning(
            "anchors",
            "trust.no-anchor",
            "no trust anchor: no recipient's certificate can be trusted",
            meaning="mail that must be encrypted waits",
            advice="sceau pki anchor propose CERT"
            if wiring.config.pki.four_eyes
            else "name the partners' root certificates under [[pki.anchors]], or propose them: "
            "sceau pki anchor propose",
        )
    for anchor in found:
        subject = f"anchor {anchor.name}"
        yield validity(
            subject, anchor.certificate, moment, meaning=_NOBODY, ahead=wiring.ahead.anchors
        )
        yield from _terms(subject, anchor, moment, wiring.ahead.anchors)
        yield good(
            subject,
            "SHA-256 {fingerprint}, trusted for {purposes} of {domains}",
            fingerprint=anchor.sha256,
            purposes=", ".join(sorted(each.value for each in anchor.purposes)),
            domains=", ".join(anchor.domains) or "*",
        )


def _terms(
    subject: str, anchor: Anchor, moment: datetime, ahead: timedelta | None
) -> Iterator[Finding]:
    """The trust has dates of its own, and its end stops mail as the certificate's does."""
    if anchor.trusted_from is not None and moment < anchor.trusted_from:
        yield warning(
            subject,
            "trust.not-yet",
            "it is trusted from {date} only",
            meaning="until then no certificate below it is trusted, and mail waits",
            date=day(anchor.trusted_from),
        )
    ends = anchor.trusted_until
    if ends is None or ends - moment >= max(RENEW, ahead or timedelta()):
        return
    if moment > ends:
        yield error(
            subject,
            "trust.ended",
            "the trust in it ended on {date}",
            meaning="no certificate below it is trusted, and mail waits",
            advice=_ANEW,
            date=day(ends),
        )
        return
    yield (error if ends - moment < NOW else warning)(
        subject,
        "trust.ends",
        _TRUST_ENDS,
        meaning=_NOBODY,
        advice=_ANEW,
        date=day(ends),
        days=str((ends - moment).days),
    )


def intermediates(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Each is valid and leads to somebody we know."""
    found = [
        ParsedCertificate(der)
        for path in wiring.config.pki.intermediates
        for der in load_certificates(path)
    ]
    anchors = [cert for _, cert in wiring.trust.current().material.anchors]
    above = [*anchors, *found]
    sound = 0
    for each in found:
        finding = validity(
            "intermediates",
            each.der,
            moment,
            meaning=_NOBODY,
            ahead=wiring.ahead.intermediates,
        )
        if finding.level is not Level.OK:
            yield finding
        elif not each.is_ca:
            yield warning(
                "intermediates",
                "trust.not-an-authority",
                "{name} is not the certificate of an authority",
                meaning="it is of no use there",
                advice="take it out of pki.intermediates",
                name=each.subject_text,
            )
        elif anchors and not any(
            each.issuer == one.subject and each.signed_by(one) for one in above
        ):
            yield warning(
                "intermediates",
                "trust.no-way-up",
                "{name} was issued by {issuer}, who is neither an anchor nor an intermediate",
                meaning="no certificate below it is trusted",
                advice="add the certificate between them, or its root as an anchor",
                name=each.subject_text,
                issuer=each.issuer_text,
            )
        else:
            sound += 1
    if sound:
        yield good("intermediates", "authorities between anchors and people: {n}", n=str(sound))
