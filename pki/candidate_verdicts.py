"""Verdicts on the certificates that were found for an address, remembered while they hold."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from pki.announced import with_capabilities
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem, problem
from pki.finding import Evidence, fault, refusal
from pki.models import Candidate, Purpose, Refusal, SignedCapabilities
from pki.ocsp_asker import OcspAsker
from pki.path_building import Budget
from pki.questions import Met, Place, meet
from pki.trust import Trust
from pki.usage import anchor_problem
from pki.verdict import Judged, judge

_MAX_KEPT = 100_000
# For one address: a hundred candidates, each with a chain of its own made to be tried in vain, took
# a worker seven seconds. An honest one takes three or four.
_MOST_SIGNATURES = 500
_MOST_MET = 32  # unknown authorities told of at once


@dataclass(frozen=True, slots=True)
class _Known:
    """A verdict on a candidate, what of it is not believed, and with which CRLs and which refused
    keys (`Material.refused_keys`) it was reached. post_quantum: its key is one of ML-KEM.
    """

    verdict: Judged
    refused: tuple[Refusal, ...]
    crls: int
    without: Mapping[str, Problem]
    post_quantum: bool


_Key = tuple[bytes, str, str, tuple[bytes, ...], tuple[SignedCapabilities, ...], tuple[str, ...]]


class Verdicts:
    """Thread-safe. A verdict is reached anew when a CRL, a refused key or its end makes it.

    ocsp: is asked where an anchor wants it. notes_unknown: whether certificates whose authority
    nobody knows are to be gathered for `take_met`.
    """

    def __init__(self, purpose: Purpose, *, ocsp: OcspAsker | None, notes_unknown: bool) -> None:
        self._purpose = purpose
        self._ocsp = ocsp
        self._notes_unknown = notes_unknown
        self._lock = threading.Lock()
        self._kept: dict[_Key, _Known] = {}
        self._met: list[Met] = []

    def weigh(
        self,
        candidates: Iterable[Candidate],
        address: str,
        trust: Trust,
        moment: datetime,
        seen: Evidence,
        domain: str = "",
    ) -> None:
        """Judge candidates, and add to `seen` what came of it. Raises nothing for any of them.

        domain: as in `pki.verdict.judge`, for those that are pinned for all of it.
        """
        for candidate in candidates:
            cert: ParsedCertificate | None = None
            try:
                judged = self._remembered(candidate, address, trust, moment, domain)
                if judged is None:
                    cert = ParsedCertificate(candidate.der)
                    if seen.signatures > _MOST_SIGNATURES:
                        raise CannotJudge(_too_many(address))
                    budget = Budget()
                    try:
                        judged = self._judge(
                            cert, candidate, address, trust, moment, domain, budget
                        )
                    finally:
                        seen.signatures += budget.signatures
                if judged.post_quantum:
                    seen.second.usable.append(judged.verdict)
                else:
                    (seen.pinned if domain else seen.usable).append(judged.verdict)
                seen.refused += judged.refused
            except CertificateRefused as error:
                _refuse(candidate, cert, error.problem, seen)
                if cert is not None and error.problem.code == "path.no-anchor":
                    self._note_unknown(cert, candidate, address)
            except CannotJudge as error:
                _cannot_tell(candidate, cert, error.problem, seen, domain)
            except Exception as error:  # noqa: BLE001 - a stranger's bytes found a fault of ours
                _cannot_tell(candidate, cert, fault(error), seen, domain)

    def take_met(self) -> list[Met]:
        """Certificates whose authority nobody knows, each told once."""
        if not self._met:
            return []
        with self._lock:
            met, self._met = self._met, []
        return met

    def forget(self) -> None:
        """Every verdict is reached anew."""
        with self._lock:
            self._kept = {}

    def _note_unknown(self, cert: ParsedCertificate, candidate: Candidate, address: str) -> None:
        if not self._notes_unknown or len(self._met) >= _MOST_MET:
            return
        place = Place.STORE if candidate.source.startswith("store (") else Place.DIRECTORY
        source = candidate.source
        met = meet(cert, candidate.chain, place=place, source=source, address=address)
        with self._lock:
            self._met.append(met)

    def _remembered(
        self, candidate: Candidate, address: str, trust: Trust, moment: datetime, domain: str
    ) -> _Known | None:
        """The verdict that was reached before, while CRLs, refused keys and dates let it hold."""
        known = self._kept.get(_key(candidate, address, domain))
        if known is None or known.crls != trust.crls:
            return None
        checked = known.verdict.certificate
        if (
            checked.source == candidate.source
            and checked.moment <= moment < known.verdict.until
            and known.without == trust.material.refused_keys
        ):
            return known
        return None

    def _judge(
        self,
        cert: ParsedCertificate,
        candidate: Candidate,
        address: str,
        trust: Trust,
        moment: datetime,
        domain: str,
        budget: Budget,
    ) -> _Known:
        """A verdict, reached now and remembered."""
        if (refused_key := trust.material.refusal_of(cert)) is not None:
            raise refused_key
        material = trust.material.with_chain(candidate.chain)
        if self._ocsp is not None:
            self._ocsp.supply(
                cert,
                material,
                moment=moment,
                accept=lambda anchor: anchor_problem(
                    anchor, address=address, purpose=self._purpose
                ),
            )
        verdict = judge(
            cert,
            address=address,
            purpose=self._purpose,
            moment=moment,
            material=material,
            source=candidate.source,
            domain=domain,
            budget=budget,
        )
        verdict, refused = with_capabilities(verdict, candidate, material, moment)
        known = _Known(verdict, refused, trust.crls, trust.material.refused_keys, cert.encapsulates)
        with self._lock:
            if len(self._kept) >= _MAX_KEPT:
                self._kept = {}
            self._kept[_key(candidate, address, domain)] = known
        return known


def _refuse(
    candidate: Candidate, cert: ParsedCertificate | None, reason: Problem, seen: Evidence
) -> None:
    second = cert is not None and cert.encapsulates
    (seen.second.refused if second else seen.refused).append(refusal(candidate, cert, reason))


def _cannot_tell(
    candidate: Candidate,
    cert: ParsedCertificate | None,
    reason: Problem,
    seen: Evidence,
    domain: str,
) -> None:
    """What is not known of an ML-KEM key keeps no mail that does without it."""
    if cert is not None and cert.encapsulates:
        seen.second.trouble.append((domain, reason))
    else:
        seen.trouble.append(reason)
    _refuse(candidate, cert, reason, seen)


def _key(candidate: Candidate, address: str, domain: str) -> _Key:
    return (
        candidate.der,
        address,
        domain,
        candidate.chain,
        candidate.capabilities,
        candidate.believed,
    )


def _too_many(address: str) -> Problem:
    """Nobody knows what is behind those that were not looked at: "cannot tell" (I3)."""
    return problem(
        "limits.path",
        "the certificates for {address} were given up after {count} signatures",
        address=address,
        count=str(_MOST_SIGNATURES),
    )
