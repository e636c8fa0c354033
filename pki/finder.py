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
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki import store
from pki.addresses import canonical, in_domain
from pki.candidate_verdicts import Verdicts
from pki.errors import AddressError, DirectoryTrouble
from pki.finding import Conclusion, Evidence, TimesToLive, conclude, fault
from pki.key_watch import UNWATCHED, KeyWatch
from pki.ldap import DirectoryAnswer, DirectoryClient
from pki.models import Candidate, DomainCertificate, Finding, NoCertificate, Purpose
from pki.ocsp_asker import OcspAsker
from pki.questions import Met
from pki.recipient_keys import Familiar, familiar, key_pair
from pki.trust import Connect, StoredTrust, Trust, Version

_MAX_CACHED = 100_000
# Addresses that are looked up together, in one search each directory.
_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class _Kept:
    """A cached answer: good while the version is the same and start ≤ moment < until."""

    finding: Finding
    version: Version
    start: datetime
    until: datetime


_Lot = tuple[tuple[DirectoryClient, ...], list[str]]


class CertificateFinder:
    """`pki.models.Finder`. Thread-safe. `close()` gives back threads and connections.

    A cached finding keeps the moment at which it was checked. It is used again until its time
    to live is over, its path or a CRL of its path ends, or a CRL or stored certificate is new.
    second_wanted: whether mail to an address may need a second envelope: places are then asked
        until one has a certificate with an ML-KEM key, too.
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
        second_wanted: Callable[[str], bool] = lambda _: False,
        found_ttl: timedelta = timedelta(minutes=10),
        missing_ttl: timedelta = timedelta(minutes=1),
        threads: int = 8,
        unknown: Callable[[Sequence[Met]], None] | None = None,
        org: str = "",
        ocsp: OcspAsker | None = None,
    ) -> None:
        self._read = read
        self._trust = trust
        self._directories = tuple(directories)
        self._keys = keys
        self._domain_use = domain_use
        self._second_wanted = second_wanted
        self._live = TimesToLive(found_ttl, missing_ttl)
        self._org = org
        self._unknown = unknown
        self._verdicts = Verdicts(purpose, ocsp=ocsp, notes_unknown=unknown is not None)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="find")
        self._lock = threading.Lock()
        self._cache: dict[str, _Kept] = {}
        self._familiar: dict[str, Familiar] = {}

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

        def look(lot: _Lot) -> dict[str, Conclusion]:
            return self._look(lot, stored, trust, moment)

        results = map(look, lots) if len(lots) == 1 else self._pool.map(look, lots)
        fresh = {address: result for part in results for address, result in part.items()}
        for address, form in wanted.items():
            told = fresh[form]
            found[address] = told.finding
            if told.until > moment:
                self._keep(address, _Kept(told.finding, trust.version, moment, told.until))
        self._tell_of_unknown()
        return found

    def forget(self) -> None:
        """Empty the caches."""
        with self._lock:
            self._cache = {}
            self._familiar = {}
        self._verdicts.forget()

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
    ) -> dict[str, Conclusion]:
        clients, addresses = lot
        seen = {address: Evidence() for address in addresses}
        for address in addresses:
            one = seen[address]
            if self._domain_use(address) is DomainCertificate.PREFERRED:
                self._judge_pinned(stored, address, trust, moment, one)
            if not one.pinned:
                one.looked_in.append("store")
                self._verdicts.weigh(stored.get(address, ()), address, trust, moment, one)
        for client in clients:
            missing = [
                address
                for address in addresses
                if not seen[address].pinned
                if not seen[address].usable or self._lacks_second(address, seen[address])
            ]
            if missing:
                self._ask(client, missing, trust, moment, seen)
        found: dict[str, Conclusion] = {}
        known = self._known_keys(addresses, seen)
        for address in addresses:
            one = seen[address]
            missing_all = not one.usable and not one.trouble
            if missing_all and self._domain_use(address) is DomainCertificate.FALLBACK:
                self._judge_pinned(stored, address, trust, moment, one)
            found[address] = conclude(
                address,
                one,
                self._keys,
                known,
                moment=moment,
                live=self._live,
                second_wanted=self._second_wanted(address),
            )
        if sightings := [each for one in found.values() for each in one.sightings]:
            self._keys.noticed(sightings)
        return found

    def _lacks_second(self, address: str, seen: Evidence) -> bool:
        return not seen.second.usable and self._second_wanted(address)

    def _known_keys(
        self, addresses: Sequence[str], seen: Mapping[str, Evidence]
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
        seen: Evidence,
    ) -> None:
        """The certificates that are pinned for the whole domain (RFC 3183)."""
        name = _pinned_name(address)
        candidates = stored.get(name, ())
        if candidates:
            seen.looked_in.append(f"store ({name})")
            self._verdicts.weigh(candidates, address, trust, moment, seen, domain=name[1:])

    def _ask(
        self,
        client: DirectoryClient,
        addresses: list[str],
        trust: Trust,
        moment: datetime,
        seen: Mapping[str, Evidence],
    ) -> None:
        answers: Mapping[str, DirectoryAnswer | DirectoryTrouble]
        try:
            answers = client.search_many(addresses)
        except Exception as error:  # noqa: BLE001 - as below: it stops one address, not all mail
            if len(addresses) > 1:
                for address in addresses:
                    self._ask(client, [address], trust, moment, seen)
                return
            answers = {addresses[0]: DirectoryTrouble(fault(error))}
        for address in addresses:
            one, answer = seen[address], answers[address]
            one.looked_in.append(client.directory.name)
            # Where the first place has decided, the others are asked for a second envelope alone.
            into = Evidence(second=one.second, signatures=one.signatures) if one.usable else one
            if isinstance(answer, DirectoryTrouble):
                if one.usable:
                    one.second.trouble.append(("", answer.problem))
                else:
                    one.trouble.append(answer.problem)
                continue
            into.refused += answer.refused
            self._verdicts.weigh(answer.candidates, address, trust, moment, into)
            one.signatures = into.signatures

    def _tell_of_unknown(self) -> None:
        """In another thread: the caller may have a transaction open, and waits for nobody."""
        if self._unknown is not None and (met := self._verdicts.take_met()):
            self._pool.submit(self._unknown, met)

    def _keep(self, address: str, kept: _Kept) -> None:
        with self._lock:
            if len(self._cache) >= _MAX_CACHED:
                self._cache = {}
            self._cache[address] = kept


def _pinned_name(address: str) -> str:
    return "@" + address.rpartition("@")[2]
