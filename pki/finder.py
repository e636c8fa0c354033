"""Finds the certificate for an address: local store, then the directories of its domain.

The first place that has a usable certificate decides; the order of the directories is that of the
configuration. Among several in one place the choice is the same every time, and everything that
was passed over is reported. Trouble is never turned into "no certificate" (I3): only when every
place has answered, and none has a usable certificate, there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki import store
from pki.addresses import canonical, in_domain
from pki.announced import with_capabilities
from pki.certificate import ParsedCertificate
from pki.errors import (
    AddressError,
    CannotJudge,
    CertificateRefused,
    DirectoryTrouble,
    Problem,
    problem,
)
from pki.key_watch import UNWATCHED, KeyWatch
from pki.ldap import DirectoryAnswer, DirectoryClient
from pki.models import (
    Candidate,
    CannotTell,
    Certified,
    CheckedCertificate,
    DomainCertificate,
    Finding,
    NoCertificate,
    Purpose,
    Refusal,
    SignedCapabilities,
)
from pki.ocsp_asker import OcspAsker
from pki.questions import Met, Place, meet
from pki.recipient_keys import Familiar, Sighting, familiar, key_pair
from pki.trust import Connect, StoredTrust, Trust, Version
from pki.usage import anchor_problem
from pki.verdict import Judged, judge

_MAX_CACHED = 100_000
# Addresses that are looked up together, in one search each directory.
_TOGETHER = 16
_MOST_MET = 32  # unknown authorities told of at once


@dataclass(frozen=True, slots=True)
class _Kept:
    """A cached answer: good while the version is the same and start ≤ moment < until."""

    finding: Finding
    version: Version
    start: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class _Known:
    """A verdict on a candidate, what of it is not believed, and with which CRLs and which refused
    keys (`Material.refused_keys`) it was reached.
    """

    verdict: Judged
    refused: tuple[Refusal, ...]
    crls: int
    without: Mapping[str, Problem]


@dataclass(slots=True)
class _Evidence:
    """What was learned while looking for one address."""

    looked_in: list[str] = field(default_factory=list)
    usable: list[Judged] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    trouble: list[Problem] = field(default_factory=list)
    pinned: list[Judged] = field(default_factory=list)  # for the whole domain


_VerdictKey = tuple[
    bytes, str, str, tuple[bytes, ...], tuple[SignedCapabilities, ...], tuple[str, ...]
]
_Lot = tuple[tuple[DirectoryClient, ...], list[str]]


class CertificateFinder:
    """`pki.models.Finder`. Thread-safe. `close()` gives back threads and connections.

    A cached finding keeps the moment at which it was checked. It is used again until its time
    to live is over, its path or a CRL of its path ends, or a CRL or stored certificate is new.
    unknown: is told, in another thread, of certificates whose authority nobody knows.
    """

    def __init__(
        self,
        *,
        read: Connect,
        trust: StoredTrust,
        directories: Sequence[DirectoryClient],
        purpose: Purpose = Purpose.ENCRYPT,
        keys: KeyWatch = UNWATCHED,
        domain_use: Callable[[str], DomainCertificate] = lambda _: DomainCertificate.FALLBACK,
        found_ttl: timedelta = timedelta(minutes=10),
        missing_ttl: timedelta = timedelta(minutes=1),
        threads: int = 8,
        unknown: Callable[[Sequence[Met]], None] | None = None,
        org: str = "",
        ocsp: OcspAsker | None = None,
    ) -> None:
        self._ocsp = ocsp
        self._read = read
        self._trust = trust
        self._directories = tuple(directories)
        self._purpose = purpose
        self._keys = keys
        self._domain_use = domain_use
        self._found_ttl = found_ttl
        self._missing_ttl = missing_ttl
        self._org = org
        self._unknown = unknown
        self._met: list[Met] = []
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="find")
        self._lock = threading.Lock()
        self._cache: dict[str, _Kept] = {}
        self._familiar: dict[str, Familiar] = {}
        self._verdicts: dict[_VerdictKey, _Known] = {}

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
            named = list(dict.fromkeys(_pinned_name(address) for address in distinct))
            stored = store.candidates_for(conn, distinct + named, org=self._org)
        lots = self._lots(distinct)

        def look(lot: _Lot) -> dict[str, tuple[Finding, datetime]]:
            return self._look(lot, stored, trust, moment)

        results = map(look, lots) if len(lots) == 1 else self._pool.map(look, lots)
        fresh = {address: result for part in results for address, result in part.items()}
        for address, form in wanted.items():
            finding, until = fresh[form]
            found[address] = finding
            if until > moment:
                self._keep(address, _Kept(finding, trust.version, moment, until))
        self._tell_of_unknown()
        return found

    def forget(self) -> None:
        """Empty the caches."""
        with self._lock:
            self._cache = {}
            self._verdicts = {}
            self._familiar = {}

    def close(self) -> None:
        """Give back threads and connections."""
        self._pool.shutdown()
        for directory in self._directories:
            directory.close()

    # Addresses with the same directories

    def _lots(self, addresses: Iterable[str]) -> list[_Lot]:
        """Addresses that are looked up together: those of the same directories, some at a time.

        S20: only the directories listed for its domain ever learn an address.
        """
        alike: dict[tuple[DirectoryClient, ...], list[str]] = {}
        for address in addresses:
            clients = tuple(
                client
                for client in self._directories
                if any(in_domain(address, domain) for domain in client.directory.domains)
            )
            alike.setdefault(clients, []).append(address)
        return [
            (clients, some[start : start + _TOGETHER])
            for clients, some in alike.items()
            for start in range(0, len(some), _TOGETHER)
        ]

    def _look(
        self,
        lot: _Lot,
        stored: Mapping[str, tuple[Candidate, ...]],
        trust: Trust,
        moment: datetime,
    ) -> dict[str, tuple[Finding, datetime]]:
        """The findings, and until when each may be kept (not after `moment`: not at all)."""
        clients, addresses = lot
        seen = {address: _Evidence() for address in addresses}
        for address in addresses:
            one = seen[address]
            if self._domain_use(address) is DomainCertificate.PREFERRED:
                self._judge_pinned(stored, address, trust, moment, one)
            if not one.pinned:
                one.looked_in.append("store")
                self._judge_all(stored.get(address, ()), address, trust, moment, one)
        for client in clients:
            missing = [a for a in addresses if not seen[a].usable and not seen[a].pinned]
            if missing:
                self._ask(client, missing, trust, moment, seen)
        found: dict[str, tuple[Finding, datetime]] = {}
        sightings: list[Sighting] = []
        known = self._known_keys(addresses, seen)
        for address in addresses:
            one = seen[address]
            missing_all = not one.usable and not one.trouble
            if missing_all and self._domain_use(address) is DomainCertificate.FALLBACK:
                self._judge_pinned(stored, address, trust, moment, one)
            found[address] = self._conclude(address, moment, one, known, sightings)
        if sightings:
            self._keys.noticed(sightings)
        return found

    def _known_keys(
        self, addresses: Sequence[str], seen: Mapping[str, _Evidence]
    ) -> Mapping[str, Familiar]:
        """What is known of the keys of those that have any. A key that is known stays so: the
        database is asked only where there is another one.
        """
        before = self._familiar
        asked = [
            address
            for address in addresses
            if self._keys.watches(address)
            and any(
                key_pair(one.certificate.certificate) not in before.get(address, Familiar()).pairs
                for one in seen[address].usable
            )
        ]
        if not asked:
            return before
        with self._read() as conn:
            fresh = familiar(conn, asked, org=self._org)
        with self._lock:
            if len(self._familiar) >= _MAX_CACHED:
                self._familiar = {}
            self._familiar.update(fresh)
        return {**{each: before[each] for each in addresses if each in before}, **fresh}

    def _judge_pinned(
        self,
        stored: Mapping[str, tuple[Candidate, ...]],
        address: str,
        trust: Trust,
        moment: datetime,
        seen: _Evidence,
    ) -> None:
        """The certificates that are pinned for the whole domain (RFC 3183)."""
        name = _pinned_name(address)
        candidates = stored.get(name, ())
        if candidates:
            seen.looked_in.append(f"store ({name})")
            self._judge_all(candidates, address, trust, moment, seen, domain=name[1:])

    def _ask(
        self,
        client: DirectoryClient,
        addresses: list[str],
        trust: Trust,
        moment: datetime,
        seen: Mapping[str, _Evidence],
    ) -> None:
        answers: Mapping[str, DirectoryAnswer | DirectoryTrouble]
        try:
            answers = client.search_many(addresses)
        except Exception as error:  # noqa: BLE001 - as below: it stops one address, not all mail
            if len(addresses) > 1:
                for address in addresses:
                    self._ask(client, [address], trust, moment, seen)
                return
            answers = {addresses[0]: DirectoryTrouble(_fault(error))}
        for address in addresses:
            one, answer = seen[address], answers[address]
            one.looked_in.append(client.directory.name)
            if isinstance(answer, DirectoryTrouble):
                one.trouble.append(answer.problem)
                continue
            one.refused += answer.refused
            self._judge_all(answer.candidates, address, trust, moment, one)

    def _judge_all(
        self,
        candidates: Iterable[Candidate],
        address: str,
        trust: Trust,
        moment: datetime,
        seen: _Evidence,
        domain: str = "",
    ) -> None:
        for candidate in candidates:
            cert: ParsedCertificate | None = None
            try:
                judged = self._remembered(candidate, address, trust, moment, domain)
                if judged is None:
                    cert = ParsedCertificate(candidate.der)
                    judged = self._judge(cert, candidate, address, trust, moment, domain)
                (seen.pinned if domain else seen.usable).append(judged.verdict)
                seen.refused += judged.refused
            except CertificateRefused as error:
                seen.refused.append(_refusal(candidate, cert, error.problem))
                if cert is not None and error.problem.code == "path.no-anchor":
                    self._note_unknown(cert, candidate, address)
            except CannotJudge as error:
                seen.trouble.append(error.problem)
                seen.refused.append(_refusal(candidate, cert, error.problem))
            except Exception as error:  # noqa: BLE001 - a stranger's bytes found a fault of ours
                reason = _fault(error)
                seen.trouble.append(reason)
                seen.refused.append(_refusal(candidate, cert, reason))

    def _note_unknown(self, cert: ParsedCertificate, candidate: Candidate, address: str) -> None:
        if self._unknown is None or len(self._met) >= _MOST_MET:
            return
        place = Place.STORE if candidate.source.startswith("store (") else Place.DIRECTORY
        source = candidate.source
        self._met.append(meet(cert, candidate.chain, place=place, source=source, address=address))

    def _tell_of_unknown(self) -> None:
        """In another thread: the caller may have a transaction open, and waits for nobody."""
        if self._unknown is not None and self._met:
            met, self._met = self._met, []
            self._pool.submit(self._unknown, met)

    def _remembered(
        self, candidate: Candidate, address: str, trust: Trust, moment: datetime, domain: str
    ) -> _Known | None:
        """The verdict that was reached before, while CRLs, refused keys and dates let it hold."""
        known = self._verdicts.get(_verdict_key(candidate, address, domain))
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
    ) -> _Known:
        """A verdict, reached now and remembered."""
        if (refusal := trust.material.refusal_of(cert)) is not None:
            raise refusal
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
        )
        verdict, refused = with_capabilities(verdict, candidate, material, moment)
        known = _Known(verdict, refused, trust.crls, trust.material.refused_keys)
        with self._lock:
            if len(self._verdicts) >= _MAX_CACHED:
                self._verdicts = {}
            self._verdicts[_verdict_key(candidate, address, domain)] = known
        return known

    def _conclude(
        self,
        address: str,
        moment: datetime,
        seen: _Evidence,
        known: Mapping[str, Familiar],
        sightings: list[Sighting],
    ) -> tuple[Finding, datetime]:
        looked_in = tuple(seen.looked_in)
        keys = self._keys.sort(address, seen.usable, known)
        seen.refused += [_held(one, why) for one, why in keys.held]
        if fit := keys.fit or ([] if keys.held else seen.pinned):
            ranked = sorted(fit, key=_preference)
            chosen = ranked[0]
            sha256 = chosen.certificate.sha256
            sightings += keys.to_report(sha256)
            others = [one.certificate for one in ranked if one.certificate.sha256 != sha256]
            refused = seen.refused + [_passed_over(one, chosen.certificate) for one in others]
            finding = Certified(chosen.certificate, looked_in, tuple(refused))
            return finding, min(moment + self._found_ttl, chosen.until)
        refused_all = tuple(seen.refused)
        if keys.held:
            # I3: whoever swaps a key must not get clear text either.
            sightings += keys.to_report("")
            return CannotTell(looked_in, refused_all, keys.held[0][1], person=True), moment
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


def _verdict_key(candidate: Candidate, address: str, domain: str) -> _VerdictKey:
    return (
        candidate.der,
        address,
        domain,
        candidate.chain,
        candidate.capabilities,
        candidate.believed,
    )


def _pinned_name(address: str) -> str:
    return "@" + address.rpartition("@")[2]


def _held(judged: Judged, why: Problem) -> Refusal:
    checked = judged.certificate
    return Refusal(
        sha256=checked.sha256,
        subject=checked.certificate.subject.rfc4514_string()[:300],
        source=checked.source,
        problem=problem(
            "identity.key-held",
            "it waits for a person to accept its key: " + why.template,
            **why.facts,
        ),
    )


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
