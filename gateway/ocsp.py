"""OCSP in the running gateway: who is asked, and the keeper's rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from gateway.config.pki_sections import Pki
from gateway.neighbours import OCSP, Neighbours
from pki.anchors import load_certificates
from pki.certificate import ParsedCertificate
from pki.fetch import FetchRules
from pki.ocsp_ask import OcspRules, Responder
from pki.ocsp_asker import OcspAsker, OcspReport, StoredResponses
from pki.trust import Trust

log = structlog.get_logger()

_EVERY = timedelta(seconds=10)  # how often to look what is due (not: to ask)


def ocsp_rules(section: Pki, fetch: FetchRules) -> OcspRules:
    """The responders of the configuration. Raises PkiError for a certificate file that is none."""
    return OcspRules(
        fetch,
        tuple(
            Responder(ParsedCertificate(der), each.url, each.nonce)
            for each in section.ocsp
            for der in load_certificates(each.issuer)
        ),
    )


@dataclass(slots=True)
class OcspRounds:
    """Asks about what is due, says what came of it. neighbours: hears who does not answer."""

    asker: OcspAsker
    stored: StoredResponses
    trust: Callable[[], Trust]
    neighbours: Neighbours
    _due: datetime | None = field(default=None, init=False)

    def when_due(self, moment: datetime) -> None:
        """A round, if the last one is long enough ago."""
        if self._due is None or not self._due - _EVERY <= moment < self._due:
            self._due = moment + _EVERY
            self.round(moment)

    def round(self, moment: datetime) -> None:
        """One round."""
        self.asker.want(self.stored.take_wanted(), moment)
        for report in self.asker.refresh(self.trust().material, moment=moment):
            self._say(report)

    def _say(self, report: OcspReport) -> None:
        if report.problem is not None:
            log.error("ocsp_failed", subject=report.subject, reason=report.problem.text)
            if report.unanswered:
                self.neighbours.away(OCSP, report.url, report.problem.sentence)
            return
        self.neighbours.well(OCSP, report.url)
        if report.state == "stored":
            log.info(
                "ocsp_stored",
                subject=report.subject,
                status=report.status,
                next_update=str(report.next_update),
            )
