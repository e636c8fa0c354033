"""Finds the certificate for an address: local store, then the directories of its domain.

The order and the choice are the same every time, and everything that was passed over is reported.
Trouble is never turned into "no certificate" (I3).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki import store
from pki.addresses import canonical, in_domain
from pki.certificate import ParsedCertificate
from pki.errors import (
    AddressError,
    CannotJudge,
    CertificateRefused,
    DirectoryTrouble,
    Problem,
    problem,
)
from pki.ldap import DirectoryClient
from pki.models import (
    Candidate,
    CannotTell,
    Certified,
    CheckedCertificate,
    Finding,
    NoCertificate,
    Purpose,
    Refusal,
)
from pki.trust import Connect, StoredTrust, Trust
from pki.verdict import Judged, judge

_MAX_CACHED = 100_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """A cached answer: good while the version is the same and start ≤ moment < until."""

    finding: Finding
    version: tuple[int, int, str]
    start: datetime
    until: datetime


@dataclass(slots=True)
class _Evidence:
    """What was learned while looking for one address."""

    looked_in: list[str] = field(default_factory=list)
    usable: list[Judged] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    trouble: list[Problem] = field(default_factory=list)


class CertificateFinder:
    """`pki.models.Finder`. Thread-safe. `close()` gives back threads and connections.

    A cached finding keeps the moment at which it was checked. It is used again until its time
    to live is over, its path or a CRL of its path ends, or a CRL or stored certificate is new.
    """

    def __init__(
        self,
        *,
        read: Connect,
        trust: StoredTrust,
        directories: Sequence[DirectoryClient],
        purpose: Purpose = Purpose.ENCRYPT,
        found_ttl: timedelta = timedelta(minutes=10),
        missing_ttl: timedelta = timedelta(minutes=1),
        threads: int = 8,
        org: str = "",
    ) -> None:
        self._read = read
        self._trust = trust
        self._directories = tuple(directories)
        self._purpose = purpose
        self._found_ttl = found_ttl
        self._missing_ttl = missing_ttl
        self._org = org
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="find")
        self._lock = threading.Lock()
        self._cache: dict[str, _Kept] = {}
        self._verdicts: dict[tuple[str, str], tuple[Judged, int]] = {}

    def find(self, address: str, *, moment: datetime) -> Finding:
        """The certificate for one address. Never raises for trouble with directories or CRLs."""
        trust = self._trust.current()
        kept = self._cache.get(address)
        if kept is not None and kept.version == trust.version and kept.start <= moment < kept.until:
            return kept.finding
        return self.find_all([address], moment=moment)[address]

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]:
        """Findings by address as given; look-ups in directories run side by side."""
        trust = self._trust.current()
        found: dict[str, Finding] = {}
        wanted: dict[str, str] = {}  # address as given → canonical
        for address in addresses:
            kept = self._cache.get(address)
            if kept and kept.version == trust.version and kept.start <= moment < kept.until:
                found[address] = kept.finding
                continue
            try:
                wanted[address] = canonical(address)
            except AddressError as error:
                # No certificate can ever match it: a fact, not a failure.
                found[address] = NoCertificate((), (), error.problem)
        if not wanted:
            return found
        distinct = list(dict.fromkeys(wanted.values()))
        with self._read() as conn:
            stored = store.candidates_for(conn, distinct, org=self._org)
        if len(distinct) == 1:
            results = [self._look(distinct[0], stored, trust, moment)]
        else:
            results = list(
                self._pool.map(lambda one: self._look(one, stored, trust, moment), distinct)
            )
        fresh = dict(zip(distinct, results, strict=True))
        for address, form in wanted.items():
            finding, until = fresh[form]
            found[address] = finding
            if until > moment:
                self._keep(address, _Kept(finding, trust.version, moment, until))
        return found

    def forget(self) -> None:
        """Empty the caches."""
        with self._lock:
            self._cache = {}
            self._verdicts = {}

    def close(self) -> None:
        """Give back threads and connections."""
        self._pool.shutdown()
        for directory in self._directories:
            directory.close()

    # One address

    def _look(
        self,
        address: str,
        stored: Mapping[str, tuple[Candidate, ...]],
        trust: Trust,
        moment: datetime,
    ) -> tuple[Finding, datetime]:
        """The finding, and until when it may be kept (not after `moment`: not at all)."""
        seen = _Evidence(looked_in=["store"])
        self._judge_all(stored.get(address, ()), address, trust, moment, seen)
        if not seen.usable:
            # S20: only the directories listed for this domain ever learn the address.
            for client in self._directories:
                if any(in_domain(address, domain) for domain in client.directory.domains):
                    self._ask(client, address, trust, moment, seen)
        return self._conclude(address, moment, seen)

    def _ask(
        self,
        client: DirectoryClient,
        address: str,
        trust: Trust,
        moment: datetime,
        seen: _Evidence,
    ) -> None:
        seen.looked_in.append(client.directory.name)
        try:
            answer = client.search(address)
        except DirectoryTrouble as error:
            seen.trouble.append(error.problem)
            return
        except Exception as error:  # noqa: BLE001 - as below: it stops this address, not all mail
            seen.trouble.append(_fault(error))
            return
        seen.refused += answer.refused
        self._judge_all(answer.candidates, address, trust, moment, seen)

    def _judge_all(
        self,
        candidates: Iterable[Candidate],
        address: str,
        trust: Trust,
        moment: datetime,
        seen: _Evidence,
    ) -> None:
        for candidate in candidates:
            cert: ParsedCertificate | None = None
            try:
                cert = ParsedCertificate(candidate.der)
                seen.usable.append(self._judge(cert, candidate.source, address, trust, moment))
            except CertificateRefused as error:
                seen.refused.append(_refusal(candidate, cert, error.problem))
            except CannotJudge as error:
                seen.trouble.append(error.problem)
                seen.refused.append(_refusal(candidate, cert, error.problem))
            except Exception as error:  # noqa: BLE001 - a stranger's bytes found a fault of ours
                reason = _fault(error)
                seen.trouble.append(reason)
                seen.refused.append(_refusal(candidate, cert, reason))

    def _judge(
        self, cert: ParsedCertificate, source: str, address: str, trust: Trust, moment: datetime
    ) -> Judged:
        """A verdict; one that was reached before holds while CRLs and dates are the same."""
        key = (cert.sha256, address)
        known = self._verdicts.get(key)
        if known is not None:
            judged, crls = known
            checked = judged.certificate
            if (
                crls == trust.crls
                and checked.source == source
                and checked.moment <= moment < judged.until
            ):
                return judged
        judged = judge(
            cert,
            address=address,
            purpose=self._purpose,
            moment=moment,
            material=trust.material,
            source=source,
        )
        with self._lock:
            if len(self._verdicts) >= _MAX_CACHED:
                self._verdicts = {}
            self._verdicts[key] = (judged, trust.crls)
        return judged

    def _conclude(
        self, address: str, moment: datetime, seen: _Evidence
    ) -> tuple[Finding, datetime]:
        looked_in = tuple(seen.looked_in)
        if seen.usable:
            ranked = sorted(seen.usable, key=_preference)
            chosen = ranked[0]
            sha256 = chosen.certificate.sha256
            others = [one.certificate for one in ranked if one.certificate.sha256 != sha256]
            refused = seen.refused + [_passed_over(one, chosen.certificate) for one in others]
            finding = Certified(chosen.certificate, looked_in, tuple(refused))
            return finding, min(moment + self._found_ttl, chosen.until)
        refused_all = tuple(seen.refused)
        if seen.trouble:
            return CannotTell(looked_in, refused_all, seen.trouble[0]), moment
        reason = _main_reason(address, seen)
        return NoCertificate(looked_in, refused_all, reason), moment + self._missing_ttl

    def _keep(self, address: str, kept: _Kept) -> None:
        with self._lock:
            if len(self._cache) >= _MAX_CACHED:
                self._cache = {}
            self._cache[address] = kept


def _preference(judged: Judged) -> tuple[float, str]:
    """The newest certificate first (people renew), the smaller SHA-256 where that is equal."""
    checked = judged.certificate
    return -checked.certificate.not_valid_before_utc.timestamp(), checked.sha256


def _passed_over(other: CheckedCertificate, chosen: CheckedCertificate) -> Refusal:
    return Refusal(
        sha256=other.sha256,
        subject=other.certificate.subject.rfc4514_string()[:300],
        source=other.source,
        problem=problem(
            "identity.passed-over",
            "it is usable too, but {chosen} is newer or comes first",
            chosen=chosen.sha256[:16],
        ),
    )


def _refusal(candidate: Candidate, cert: ParsedCertificate | None, reason: Problem) -> Refusal:
    return Refusal(
        sha256=cert.sha256 if cert else "",
        subject=cert.subject_text if cert else "",
        source=candidate.source,
        problem=reason,
    )


def _fault(error: Exception) -> Problem:
    """An error nobody foresaw: "cannot tell", for this address alone (I3)."""
    return problem(
        "limits.internal",
        "an internal fault kept a certificate from being looked at ({kind})",
        kind=type(error).__name__,
    )


def _main_reason(address: str, seen: _Evidence) -> Problem:
    """A revoked certificate first: people must hear of it. Then the first refusal, if any."""
    for refusal in seen.refused:
        if refusal.problem.code == "revocation.revoked":
            return refusal.problem
    if seen.refused:
        return seen.refused[0].problem
    return problem(
        "directory.none",
        "no certificate for {address} was found (looked in: {places})",
        address=address,
        places=", ".join(seen.looked_in),
    )
