"""Keeps CRLs fresh: fetched ahead of need, checked, stored; the old one is never dropped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

from pki import crl_store
from pki.crl_folder import CrlFolder
from pki.crl_receive import check_renewed, index_stored, receive
from pki.errors import CrlRefused, FetchTrouble, PkiError, Problem, problem
from pki.fetch import FetchRules, fetch
from pki.fetch_ldap import PORTS, fetch_ldap
from pki.plain_file import read_plain
from pki.trust import Connect, StoredTrust
from pki.unreached import told

_RETRY = timedelta(minutes=5)  # when the next one should be out, however long the interval is
_AFTER_FAILURE = timedelta(minutes=1)  # mail may be waiting for it
_LONGEST_PAUSE = timedelta(minutes=15)
_AT_A_TIME = 8
_ROUND = 10.0  # seconds after which a round begins no fetch: the keeper has more to do
_SWEPT_AFTER = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class CrlSource:
    """Where a CRL comes from.

    location: http(s):// or ldap(s):// URL, or the path of a file (PEM or DER).
    every: fetched this often; and in any case when half of the time to nextUpdate is over.
    """

    name: str
    location: str
    every: timedelta = timedelta(hours=1)

    @property
    def is_url(self) -> bool:
        """Fetched over the network, not read from a file."""
        return "://" in self.location


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What happened with one source.

    state: "stored", "unchanged", "not-due", "failed"; "waiting": due, but not asked yet.

    next_update: of the CRL that this source last brought, also after a failure: how long the
    known one still holds.
    """

    source: str
    state: str
    issuer: str = ""
    number: int | None = None
    next_update: datetime | None = None
    problem: Problem | None = None


def fetch_source(url: str, rules: FetchRules) -> bytes:
    """What lies at a URL, http(s):// or ldap(s)://. Raises FetchTrouble."""
    if url.partition("://")[0].lower() in PORTS:
        return fetch_ldap(url, rules)
    return fetch(url, rules)


def refresh_crls(
    read: Connect,
    write: Connect,
    sources: Sequence[CrlSource],
    *,
    trust: StoredTrust,
    rules: FetchRules,
    moment: datetime,
    force: bool = False,
    get: Callable[[str, FetchRules], bytes] = fetch_source,
    folder: CrlFolder | None = None,
    org: str = "",
) -> list[SourceReport]:
    """Fetch what is due, check, store; one report for each source. get: fetches a URL.

    No transaction is open while the network is used. One bad source does not stop the others, and
    a slow one does not keep them waiting: several are asked at a time, those first whose CRL ends
    first. What a round has no time for is "waiting", and due in the next one.
    """
    with read() as conn:
        before = crl_store.last_fetches(conn, org=org)
    material = trust.current().material
    found: dict[str, SourceReport] = {}
    due = []
    for source in sources:
        last = before.get(source.location)
        if force or last is None or is_due(source, last, moment):
            due.append(source)
        else:
            found[source.location] = SourceReport(source.name, "not-due", next_update=_until(last))
    due.sort(key=lambda source: _until(before.get(source.location)) or moment)
    for source, data in _fetched(due, rules, get):
        last = before.get(source.location)
        if data is None:
            found[source.location] = SourceReport(source.name, "waiting", next_update=_until(last))
            continue
        try:
            if isinstance(data, Exception):
                raise data
            crl, indexed = receive(
                data, source.location, material=material, moment=moment, folder=folder
            )
            with write() as conn:
                new = crl_store.store_crl(conn, crl, moment=moment, indexed=indexed, org=org)
                check_renewed(crl, moment, new=new)
                crl_store.record_fetch(
                    conn, source.location, moment=moment, crl_sha256=crl.sha256, org=org
                )
        except Exception as error:  # noqa: BLE001 - a stranger's bytes stop no other source
            reason = error.problem if isinstance(error, PkiError) else _fault(error)
            with write() as conn:
                crl_store.record_fetch(
                    conn, source.location, moment=moment, problem=reason.sentence, org=org
                )
            report = SourceReport(source.name, "failed", next_update=_until(last), problem=reason)
        else:
            state = "stored" if new else "unchanged"
            report = SourceReport(source.name, state, crl.issuer_text, crl.number, crl.next_update)
        found[source.location] = report
    return [found[source.location] for source in sources]


def _fetched(
    due: Sequence[CrlSource], rules: FetchRules, get: Callable[[str, FetchRules], bytes]
) -> Iterator[tuple[CrlSource, bytes | Exception | None]]:
    """What came of each source, in the order in which it came; None: there was no time for it."""
    end = time.monotonic() + _ROUND

    def one(source: CrlSource) -> bytes | Exception | None:
        if time.monotonic() >= end:
            return None
        try:
            return get(source.location, rules) if source.is_url else _read(source.location, rules)
        except Exception as error:  # noqa: BLE001 - said by the one who asked
            return error

    if len(due) == 1:
        yield due[0], one(due[0])
        return
    with ThreadPoolExecutor(_AT_A_TIME, "crl-fetch") as pool:
        running = {}
        waiting = iter(due)
        # Not all of them at once: what has come and is not stored yet stands in memory.
        for source in islice(waiting, _AT_A_TIME):
            running[pool.submit(one, source)] = source
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                source = running.pop(future)
                data = future.result()
                del future
                yield source, data
                del data
                for following in islice(waiting, 1):
                    running[pool.submit(one, following)] = following


def keep_indexed(
    read: Connect,
    write: Connect,
    *,
    trust: StoredTrust,
    folder: CrlFolder,
    given_up: set[str],
    org: str = "",
) -> list[str]:
    """Make the indexes that this machine lacks, ahead of need; SHA-256 of the CRLs.

    given_up: CRLs that had none, which are not read again and again; kept by the caller.
    Also for CRLs that an older version stored, and for one whose index in the database is not what
    its octets give: who can write there must not be able to hide a revocation behind a digest.
    """
    with read() as conn:
        newest = [one for one in crl_store.newest_crls(conn, org=org) if one.size >= folder.above]
    made = []
    for one in newest:
        if one.sha256 in given_up or folder.has(one.sha256, one.index_sha256):
            continue
        with read() as conn:
            der = crl_store.crl_bytes(conn, one.sha256, org=org)
        if der is None:
            continue
        try:
            digest = index_stored(der, material=trust.current().material, folder=folder)
        except CrlRefused:  # its CA is not known any more, and nobody asks for it
            given_up.add(one.sha256)
            continue
        if digest != one.index_sha256:
            with write() as conn:
                crl_store.note_index(conn, one.sha256, digest, org=org)
        made.append(one.sha256)
    folder.sweep({one.sha256 for one in newest}, older_than=_SWEPT_AFTER)
    return made


def _fault(error: Exception) -> Problem:
    return problem(
        "limits.internal",
        "an internal fault kept the CRL from being read ({kind})",
        kind=type(error).__name__,
    )


def is_due(source: CrlSource, last: crl_store.LastFetch, moment: datetime) -> bool:
    """Whether a source is to be asked again.

    After a failure the pause doubles, up to `_LONGEST_PAUSE`. What has one rhythm is drawn apart a
    little, always alike for one source: five hundred sources that were fetched in one minute, when
    the gateway was started, are not all asked again in one minute every hour for ever.
    """
    if last.tried_at > moment:
        return True  # the clock was put back: waiting until then would let every CRL go stale
    if last.problem:
        doubled: timedelta = _AFTER_FAILURE * (1 << min(max(last.failures - 1, 0), 10))
        return moment >= last.tried_at + min(source.every, doubled, _LONGEST_PAUSE)
    if moment >= last.tried_at + source.every * (1 - _spread(source)):
        return True
    if last.this_update is None or last.next_update is None:
        return True
    halfway = last.this_update + (last.next_update - last.this_update) / 2
    # Past the middle the next one should be out; but do not ask again and again for it.
    return moment >= halfway and moment >= last.tried_at + min(source.every, _RETRY)


def _spread(source: CrlSource) -> float:
    """Between 0 and a tenth, by the source's location."""
    return hashlib.sha256(source.location.encode()).digest()[0] / 2560


def _until(last: crl_store.LastFetch | None) -> datetime | None:
    return None if last is None else last.next_update


def _read(location: str, rules: FetchRules) -> bytes:
    try:
        return read_plain(Path(location), rules.max_bytes)
    except OSError as error:
        raise FetchTrouble(
            problem(
                "structure.file",
                "{file} cannot be read: {why}",
                file=location,
                why=told(error),
            )
        ) from error
