"""Keeps OCSP responses at hand: asked ahead of need, and where mail waits for one.

Who is asked about what is decided on a path that holds: nothing that an anchor of ours does not
vouch for makes the gateway open a connection (threat L8).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from urllib.parse import urlsplit

from pki import ocsp_store
from pki.anchors import Anchor, RevocationSources
from pki.certificate import ParsedCertificate
from pki.errors import (
    CannotJudge,
    CertificateRefused,
    FetchTrouble,
    OcspRefused,
    PkiError,
    Problem,
    problem,
)
from pki.ocsp import OcspResponse
from pki.ocsp_ask import Get, OcspRules, Responder, ask, fetched, responder_for
from pki.ocsp_judge import OcspStatement, has_nocheck
from pki.path import Material, Revocation, find_path
from pki.trust import Connect

_MOST_WANTED = 10_000  # remembered between two rounds of the keeper
_ROUND = 200  # questions a round
_ROUND_SECONDS = 5.0  # the keeper has other things to do
_WHILE_MAIL_WAITS = timedelta(seconds=5)
_QUIET = 30.0  # seconds in which a responder that failed is not asked while mail waits
_SLOW = 1.0  # seconds after which a failure is the whole host's: each certificate may name a path
_RETRY = timedelta(minutes=5)  # when the next one should be out
_AFTER_FAILURE = timedelta(minutes=2)
_ANOTHER_DAY = timedelta(days=1)  # what nobody can be asked about


class StoredResponses:
    """`pki.ocsp_known.KnownResponses` of the database. Thread-safe.

    Remembers what it was asked for: the keeper asks about that from then on. Nothing is fetched
    here.
    """

    def __init__(self, read: Connect, *, org: str = "") -> None:
        self._read = read
        self._org = org
        self._wanted: dict[str, tuple[ParsedCertificate, ParsedCertificate]] = {}
        self._lock = threading.Lock()

    def about(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> Sequence[OcspResponse]:
        """The stored ones; they were accepted once, and are judged anew at each use."""
        with self._lock:
            if len(self._wanted) < _MOST_WANTED:
                self._wanted[cert.sha256] = (cert, issuer)
        with self._read() as conn:
            rows = ocsp_store.responses_about(conn, cert.sha256, org=self._org)
        found = []
        for der, source in rows:
            try:
                found.append(OcspResponse(der, source))
            except OcspRefused:
                continue  # a newer version reads more strictly than the one that stored it
        return found

    def take_wanted(self) -> list[tuple[ParsedCertificate, ParsedCertificate]]:
        """Certificates, with their issuers, that were asked for since the last call."""
        with self._lock:
            wanted, self._wanted = self._wanted, {}
        return list(wanted.values())


_NOBODY = "revocation.ocsp-nobody"


@dataclass(frozen=True, slots=True)
class OcspReport:
    """What came of one question. state: "stored", "unchanged" or "failed". url: "" where nobody
    may be asked. spared: nobody may be, and the anchor's rule lets CRLs tell in the place of that.
    """

    subject: str
    url: str
    state: str
    status: str = ""
    next_update: datetime | None = None
    problem: Problem | None = None
    spared: bool = False

    @property
    def unanswered(self) -> bool:
        """Nobody answered, as opposed to: answered with what is not acceptable."""
        return self.problem is not None and self.problem.code in ("limits.fetch", _NOBODY)


class _NobodyToAsk(OcspRefused):
    """No responder may be asked about a certificate. sources: its anchor's rule."""

    def __init__(self, problem: Problem, sources: RevocationSources) -> None:
        super().__init__(problem)
        self.sources = sources


class OcspAsker:
    """Asks and stores. write: opens a transaction; none is open while the network is used."""

    def __init__(
        self,
        read: Connect,
        write: Connect,
        rules: OcspRules,
        *,
        get: Get = fetched,
        org: str = "",
    ) -> None:
        self._read = read
        self._write = write
        self._rules = rules
        self._get = get
        self._org = org
        self._quiet: dict[str, float] = {}  # URL or host → monotonic time until which it is left

    # Where mail waits

    def supply(
        self,
        cert: ParsedCertificate,
        material: Material,
        *,
        moment: datetime,
        accept: Callable[[Anchor], Problem | None],
    ) -> None:
        """Ask what the anchor's rule wants asked before `cert` is judged, within seconds.

        Trouble is not raised: without a response the judgement that follows cannot tell.
        """
        if all(anchor.sources is RevocationSources.CRL for anchor, _ in material.anchors):
            return
        try:
            path = find_path(
                cert, material, moment=moment, revocation=Revocation.OFF, accept=accept
            )
        except PkiError:
            return
        sources = path.anchor.sources
        if sources is RevocationSources.CRL:
            return
        if sources is RevocationSources.CRL_THEN_OCSP and _told(cert, material, moment, accept):
            return
        rules = self._rules.within(_WHILE_MAIL_WAITS)
        for issuer, one in pairwise(path.certificates):
            if self._has_fresh(one, issuer, moment):
                continue
            responder = responder_for(one, issuer, rules)
            if responder is None or self._is_quiet(responder.url):
                continue
            begun = time.monotonic()
            report = self._ask(one, issuer, responder, rules, material, moment)
            if report.unanswered:
                self._leave(_failing(responder.url, begun))

    def _is_quiet(self, url: str) -> bool:
        now = time.monotonic()
        return any(now < self._quiet.get(name, 0.0) for name in (url, urlsplit(url).netloc))

    def _leave(self, name: str) -> None:
        now = time.monotonic()
        quiet = {each: until for each, until in self._quiet.items() if now < until}
        self._quiet = {**quiet, name: now + _QUIET}

    def _has_fresh(
        self, cert: ParsedCertificate, issuer: ParsedCertificate, moment: datetime
    ) -> bool:
        """Whether nothing need be asked now; that it is needed is noted, once a day."""
        with self._read() as conn:
            until = ocsp_store.fresh_until(conn, cert.sha256, org=self._org)
            wanted = ocsp_store.is_wanted(conn, cert.sha256, moment=moment, org=self._org)
        if not wanted:
            self.want([(cert, issuer)], moment)
        return until >= moment

    # Ahead of need

    def refresh(
        self, material: Material, *, moment: datetime, force: bool = False
    ) -> list[OcspReport]:
        """Ask about everything wanted whose time has come; a report for each.

        force: all of it, whether its time has come or not. A responder that does not answer is
        left in peace for the rest of the round: its other questions are put off, so that however
        many they are, those to others have their turn.
        """
        with self._read() as conn:
            due = ocsp_store.due_questions(
                conn,
                moment=moment,
                limit=1_000_000 if force else _ROUND,
                every=force,
                org=self._org,
            )
        reports: list[OcspReport] = []
        silent: set[str] = set()
        put_off: list[str] = []
        end = time.monotonic() + _ROUND_SECONDS
        for question in due:
            if not force and time.monotonic() > end:
                break
            try:
                report = self._asked(question, material, moment, silent)
            except Exception as error:  # noqa: BLE001 - else it is the first of each round, for ever
                reason = error.problem if isinstance(error, PkiError) else _fault(error)
                self._note(question.sha256, moment, moment + _AFTER_FAILURE, reason)
                report = OcspReport(question.sha256, "", "failed", problem=reason)
            if report is None:
                put_off.append(question.sha256)
            else:
                reports.append(report)
        if put_off:
            with self._write() as conn:
                # Before the one that failed: else it is first each time, and they are never asked.
                later = moment + _AFTER_FAILURE / 2
                ocsp_store.put_off(conn, put_off, due=later, org=self._org)
        return reports

    def _asked(
        self, question: ocsp_store.Question, material: Material, moment: datetime, silent: set[str]
    ) -> OcspReport | None:
        """None: its responder is among the silent ones, to which this may add it.

        Raises CertificateRefused: what is stored is no certificate.
        """
        cert = ParsedCertificate(question.certificate)
        issuer = ParsedCertificate(question.issuer)
        try:
            responder = self._responder(cert, issuer, material, moment)
        except PkiError as error:
            self._note(cert.sha256, moment, moment + _ANOTHER_DAY, error.problem)
            spared = isinstance(error, _NobodyToAsk) and error.sources is not RevocationSources.OCSP
            return OcspReport(cert.subject_text, "", "failed", problem=error.problem, spared=spared)
        if silent & {responder.url, urlsplit(responder.url).netloc}:
            return None
        begun = time.monotonic()
        report = self._ask(cert, issuer, responder, self._rules, material, moment)
        if report.unanswered:
            silent.add(_failing(responder.url, begun))
        return report

    def want(
        self, wanted: Iterable[tuple[ParsedCertificate, ParsedCertificate]], moment: datetime
    ) -> None:
        """From now on these certificates (with their issuers) are asked about."""
        # In one order everywhere: two processes that write the same rows wait for each other.
        pairs = sorted(wanted, key=lambda pair: pair[0].sha256)
        if pairs:
            with self._write() as conn:
                for cert, issuer in pairs:
                    ocsp_store.want(conn, cert, issuer, moment=moment, org=self._org)

    def _responder(
        self,
        cert: ParsedCertificate,
        issuer: ParsedCertificate,
        material: Material,
        moment: datetime,
    ) -> Responder:
        """Who is asked. Raises CertificateRefused where no path holds any more, _NobodyToAsk."""
        path = find_path(
            cert, material.with_chain([issuer]), moment=moment, revocation=Revocation.OFF
        )
        responder = None
        if len(path.certificates) > 1 and path.certificates[-2].spki == issuer.spki:
            responder = responder_for(cert, issuer, self._rules)
        if responder is None:
            raise _NobodyToAsk(
                problem(
                    _NOBODY,
                    "nobody may be asked about {subject} by OCSP: [[pki.ocsp]] names no responder "
                    "of {issuer}, and pki.fetch.allow lists none that the certificate names",
                    subject=cert.subject_text,
                    issuer=issuer.subject_text,
                ),
                path.anchor.sources,
            )
        return responder

    # One question

    def _ask(
        self,
        cert: ParsedCertificate,
        issuer: ParsedCertificate,
        responder: Responder,
        rules: OcspRules,
        material: Material,
        moment: datetime,
    ) -> OcspReport:
        try:
            said = ask(
                cert,
                issuer,
                responder,
                rules=rules.fetch,
                moment=moment,
                signers=material.issued_by(issuer),
                get=self._get,
            )
            with self._write() as conn:
                new = ocsp_store.store_response(conn, said, cert, moment=moment, org=self._org)
                if not has_nocheck(said.responder) and said.responder.spki != issuer.spki:
                    # RFC 6960 §4.2.2.2.1: the responder's own certificate is asked about too.
                    ocsp_store.want(conn, said.responder, issuer, moment=moment, org=self._org)
                ocsp_store.note_attempt(
                    conn, cert.sha256, moment=moment, due=_next(said, moment), org=self._org
                )
        except (FetchTrouble, OcspRefused) as error:
            self._note(cert.sha256, moment, moment + _AFTER_FAILURE, error.problem)
            return OcspReport(cert.subject_text, responder.url, "failed", problem=error.problem)
        single = said.single
        state = "stored" if new else "unchanged"
        return OcspReport(
            cert.subject_text, responder.url, state, single.status, single.next_update
        )

    def _note(self, certificate: str, moment: datetime, due: datetime, reason: Problem) -> None:
        with self._write() as conn:
            ocsp_store.note_attempt(
                conn, certificate, moment=moment, due=due, problem=reason.sentence, org=self._org
            )


def _told(
    cert: ParsedCertificate,
    material: Material,
    moment: datetime,
    accept: Callable[[Anchor], Problem | None],
) -> bool:
    """Whether the CRLs and responses that are there say yes or no."""
    try:
        find_path(cert, material, moment=moment, accept=accept)
    except CannotJudge:
        return False
    except CertificateRefused:
        return True
    return True


def _next(said: OcspStatement, moment: datetime) -> datetime:
    """When to ask again: past the middle the next one should be out (RFC 6960 §2.4)."""
    begin, end = said.single.this_update, said.single.next_update
    halfway = begin + (end - begin) / 2
    if moment < halfway:
        return max(halfway, moment + _RETRY)
    # Signed ahead and served again: a quarter of what is left, but not again and again.
    return moment + max(_RETRY, (end - moment) / 4)


def _failing(url: str, begun: float) -> str:
    """What is left in peace: a host that takes its time, or one address that fails at once."""
    return urlsplit(url).netloc if time.monotonic() - begun >= _SLOW else url


def _fault(error: Exception) -> Problem:
    return problem(
        "limits.internal",
        "an internal fault kept the OCSP responder from being asked ({kind})",
        kind=type(error).__name__,
    )
