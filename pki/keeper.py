"""Keeps CRLs fresh: fetched ahead of need, checked, stored; the old one is never dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pki import store
from pki.algorithms import judge_signature
from pki.crl import Crl, read_crl
from pki.errors import CrlRefused, FetchTrouble, PkiError, Problem, problem
from pki.fetch import FetchRules, fetch
from pki.path import Material
from pki.revocation import may_sign_crls
from pki.trust import Connect, StoredTrust

_RETRY = timedelta(minutes=5)  # when the next one should be out, however long the interval is
_AFTER_FAILURE = timedelta(minutes=1)  # mail may be waiting for it


@dataclass(frozen=True, slots=True)
class CrlSource:
    """Where a CRL comes from. location: http(s):// URL or the path of a file (PEM or DER).

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
    """What happened with one source. state: "stored", "unchanged", "not-due" or "failed".

    next_update: of the CRL that this source last brought, also after a failure: how long the
    known one still holds.
    """

    source: str
    state: str
    issuer: str = ""
    number: int | None = None
    next_update: datetime | None = None
    problem: Problem | None = None


def refresh_crls(
    read: Connect,
    write: Connect,
    sources: Sequence[CrlSource],
    *,
    trust: StoredTrust,
    rules: FetchRules,
    moment: datetime,
    force: bool = False,
    get: Callable[[str, FetchRules], bytes] = fetch,
    org: str = "",
) -> list[SourceReport]:
    """Fetch what is due, check, store; one report for each source. get: fetches a URL.

    No transaction is open while the network is used. One bad source does not stop the others.
    """
    with read() as conn:
        before = store.last_fetches(conn, org=org)
    material = trust.current().material
    reports: list[SourceReport] = []
    for source in sources:
        last = before.get(source.location)
        if not force and last is not None and not _due(source, last, moment):
            reports.append(SourceReport(source.name, "not-due", next_update=last.next_update))
            continue
        try:
            data = get(source.location, rules) if source.is_url else _read(source.location)
            crl = check_crl(read_crl(data, source.location), material, moment)
            with write() as conn:
                new = store.store_crl(conn, crl, moment=moment, org=org)
                store.record_fetch(
                    conn, source.location, moment=moment, crl_sha256=crl.sha256, org=org
                )
        except Exception as error:  # noqa: BLE001 - a stranger's bytes stop no other source
            reason = error.problem if isinstance(error, PkiError) else _fault(error)
            with write() as conn:
                store.record_fetch(
                    conn, source.location, moment=moment, problem=reason.text, org=org
                )
            known = None if last is None else last.next_update
            reports.append(SourceReport(source.name, "failed", next_update=known, problem=reason))
            continue
        state = "stored" if new else "unchanged"
        reports.append(
            SourceReport(source.name, state, crl.issuer_text, crl.number, crl.next_update)
        )
    return reports


def check_crl(crl: Crl, material: Material, moment: datetime) -> Crl:
    """A CRL that may be stored: signed by a CA we know, and current. Raises CrlRefused."""
    signers = material.signers_named(crl.issuer)
    if not signers:
        raise CrlRefused(
            problem(
                "revocation.crl-issuer",
                "the CRL is of {issuer}, which is neither a trust anchor nor a known intermediate",
                issuer=crl.issuer_text,
            )
        )
    if not any(may_sign_crls(signer) and crl.signed_by(signer) for signer in signers):
        raise CrlRefused(
            problem(
                "revocation.signature",
                "the CRL of {issuer} is not signed by a key that may sign it",
                issuer=crl.issuer_text,
            )
        )
    weak = judge_signature(crl.x509, moment)
    if weak is not None:
        raise CrlRefused(weak)
    if crl.this_update > moment:
        raise CrlRefused(
            problem(
                "revocation.crl-future",
                "the CRL of {issuer} is of {day}, which is in the future; is the clock right?",
                issuer=crl.issuer_text,
                day=crl.this_update.isoformat(),
            )
        )
    if crl.next_update < moment:
        raise CrlRefused(
            problem(
                "revocation.stale",
                "the CRL of {issuer} was valid until {until} only",
                issuer=crl.issuer_text,
                until=crl.next_update.isoformat(),
            )
        )
    return crl


def _fault(error: Exception) -> Problem:
    return problem(
        "limits.internal",
        "an internal fault kept the CRL from being read ({kind})",
        kind=type(error).__name__,
    )


def _due(source: CrlSource, last: store.LastFetch, moment: datetime) -> bool:
    if last.tried_at > moment:
        return True  # the clock was put back: waiting until then would let every CRL go stale
    if last.problem:
        return moment >= last.tried_at + min(source.every, _AFTER_FAILURE)
    if moment >= last.tried_at + source.every:
        return True
    if last.this_update is None or last.next_update is None:
        return True
    halfway = last.this_update + (last.next_update - last.this_update) / 2
    # Past the middle the next one should be out; but do not ask again and again for it.
    return moment >= halfway and moment >= last.tried_at + min(source.every, _RETRY)


def _read(location: str) -> bytes:
    try:
        return Path(location).read_bytes()
    except OSError as error:
        raise FetchTrouble(
            problem(
                "structure.file",
                "{file} cannot be read: {why}",
                file=location,
                why=error.strerror or type(error).__name__,
            )
        ) from error
